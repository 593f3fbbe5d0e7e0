"""Reading a TOML file into settings, or saying what is wrong with it line by line."""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from typing_extensions import TypeVar

from pipeline.config.base import LARGEST, ConfigError
from pipeline.config.run import RunConfig

_LINES = 20


Settings = TypeVar("Settings", bound=BaseModel, default=RunConfig)


def parse(
    text: str,
    kind: type[Settings] = RunConfig,  # type: ignore[assignment]
    *,
    source: str = "config",
) -> Settings:
    """A TOML text as a RunConfig, or as another kind of settings.

    Raises:
        ConfigError: malformed TOML, an unknown key or a value out of range; one line a fault,
            each naming `source` and the key.
    """
    try:
        data: dict[str, Any] = tomllib.loads(text)
    except RecursionError:
        raise ConfigError(f"{source}: nested too deeply; a run needs four levels") from None
    except ValueError as error:  # also of numbers and dates that Python cannot make
        raise ConfigError(f"{source}: not TOML: {_plain(str(error), most=200)}") from None
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        lines = [_line(source, fault, data) for fault in faults[:_LINES]]
        if len(faults) > _LINES:
            lines.append(f"{source}: {len(faults) - _LINES:,} faults more")
        raise ConfigError("\n".join(lines)) from None


def load(
    path: Path,
    kind: type[Settings] = RunConfig,  # type: ignore[assignment]
) -> Settings:
    """The settings in the TOML file at `path`; raises ConfigError as `parse` does."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ConfigError(f"{path}: over {LARGEST:,} bytes, no config; name a TOML file")
        text = content.decode("utf-8-sig")
    except ConfigError:
        raise
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text; name a TOML file") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"{_plain(str(path), most=_LONGEST_PATH)}: cannot be read ({why}); name a TOML file"
        ) from None
    # As Python's own reading of text does.
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return parse(text, kind, source=str(path))


def _line(source: str, fault: Any, data: Any) -> str:
    path = []
    for part in fault["loc"]:
        if isinstance(data, dict) and part not in data and part == data.get("kind"):
            continue  # pydantic names the kind that it chose, which is no key of the file
        path.append(_plain(str(part)))
        data = data.get(part) if isinstance(data, dict) else None
    where = ".".join(path)
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        message = "unknown key; remove it or mend its spelling"
    elif fault["type"].startswith(_OF_VALUES):
        message += f", not {_value(fault['input'])}"
    return f"{source}: {where + ': ' if where else ''}{_plain(message, most=1000)}"


# Not those of a pattern: somebody may have written a password into an address, or a key in place of
# the name of its variable.
_LONGEST_PATH = 4096
"""As long as a system allows one to be."""
_OF_VALUES = ("greater_", "less_", "finite_", "int_", "float_", "bool_", "literal_")


def _value(given: Any) -> str:
    """A value as the file has it, where it is short enough to say."""
    if isinstance(given, str):
        return _plain(repr(given))
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, int) and abs(given) >= 10**30:
        return "a number of more than 30 digits"
    return str(given) if isinstance(given, int | float) else f"a {type(given).__name__}"


def _plain(text: str, *, most: int = 80) -> str:
    """Printable, on one line and not long, whatever a file holds."""
    plain = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:most])
    return plain + ("…" if len(text) > most else "")
