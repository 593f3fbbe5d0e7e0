"""What all parts of a configuration share: the frozen base, names, bounds, the error."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from pipeline.errors import LoupeError

NAME = r"^[a-z0-9][a-z0-9._-]*$"
"""Names become parts of identities and file names: lower case, digits, dot, dash, underscore."""


MANY = 1_000_000_000
"""More than there is of anything that is counted; a larger number is a slip."""
LARGEST = 1_048_576
"""Bytes of a config."""

Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
"""As every library of random numbers takes them."""


def distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) != len(names):
        raise ValueError("one is named twice; name each once")
    return names


Names = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(distinct)]
"""At least one, each once."""


class ConfigError(LoupeError, ValueError):
    """The configuration cannot be used; the message names the key and the remedy."""


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
