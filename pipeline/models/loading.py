"""Loading from the Hugging Face hub or a folder, with failures told in one line."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.utils import logging as hub_logging
from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from pipeline import config
from pipeline.errors import LoupeError

LOADING_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    RuntimeError,
    ImportError,
    SafetensorError,
)
"""What libraries raise where a model cannot be had or its files are damaged."""


class ModelError(LoupeError, RuntimeError):
    """A model cannot be had or has no such hook point; the message names it and the remedy."""


def pretrained(loader: Any, name: str, *, revision: str | None = None, **options: Any) -> Any:
    """`loader.from_pretrained(name)`, its failures told in one line.

    Raises:
        ModelError: no such folder or model, no network, gated, or files that do not fit the class.
    """
    with quiet():
        try:
            return loader.from_pretrained(name, revision=revision, **options)
        except Exception as error:
            # What a damaged pickle raises is no class that could be named without naming pickle.
            known = isinstance(error, LOADING_ERRORS) or type(error).__name__ == "UnpicklingError"
            if not known:
                raise
            raise ModelError(why(name, error)) from error


def pretrained_model(
    loader: Any, name: str, *, machine: config.Machine, device: str, **options: Any
) -> Any:
    """A model as `pretrained` gives it, with every weight from its files, in eval mode, on
    `device` or spread as `machine` says.

    On the device `meta` only its form is made, from its config, without its weights.

    Raises:
        ModelError: as `pretrained`, or weights are lacking, which transformers draws at random.
    """
    if device == "meta":
        return skeleton(loader, name, revision=options.get("revision"), like=options.get("config"))
    if machine.device_map is not None:
        options["device_map"] = machine.device_map
    if machine.attention is not None:
        options["attn_implementation"] = machine.attention
    model, info = pretrained(loader, name, output_loading_info=True, **options)
    if lacking := sorted(info["missing_keys"]):
        raise ModelError(
            f"model {name}: its files lack {len(lacking)} weights of {type(model).__name__} "
            f"({lacking[0]}, ...); use a checkpoint that holds the whole model"
        )
    model.eval()
    if machine.device_map is None and getattr(model, "hf_device_map", None) is None:
        model.to(device)
    return model


def skeleton(loader: Any, name: str, *, revision: str | None, like: Any = None) -> Any:
    """The model's form without weights, from its config alone."""
    from transformers import AutoConfig

    like = like or pretrained(AutoConfig, name, revision=revision)
    with torch.device("meta"), quiet():
        try:
            build = getattr(loader, "from_config", None) or loader
            made = build(like)
        except LOADING_ERRORS as error:
            raise ModelError(why(name, error)) from error
    return made.eval()


def weights_options(settings: config.Model) -> dict[str, Any]:
    """How `settings` wants weights loaded: revision, dtype, quantization.

    Raises:
        ModelError: 4-bit weights are wanted and bitsandbytes is not installed.
    """
    dtype = getattr(torch, settings.dtype)
    options: dict[str, Any] = {"revision": settings.revision, "dtype": dtype}
    if settings.quantization == "4bit":
        import importlib.util

        if importlib.util.find_spec("bitsandbytes") is None:
            raise ModelError(
                f"model {settings.id}: quantization = '4bit' needs bitsandbytes; install it with "
                "pip install 'loupe[4bit]', or remove the key"
            )
        from transformers import BitsAndBytesConfig

        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_compute_dtype=dtype, bnb_4bit_quant_type="nf4"
        )
    return options


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' and the hub's own reports: they list every weight of towers that are
    not wanted and every retry, and what matters is told by the error."""
    loud, retries = transformers_logging.get_verbosity(), hub_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    hub_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(loud)
        hub_logging.set_verbosity(retries)
        if bars:
            transformers_logging.enable_progress_bar()


def pick_device(name: str) -> str:
    """`auto` as CUDA, then Apple's MPS, then the CPU; any other name as it is.

    Raises:
        ModelError: there is no such device.
    """
    if name != "auto":
        try:
            torch.zeros(1, device=name)
        except (RuntimeError, AssertionError) as error:
            raise ModelError(
                f"machine.device = {name!r} is not to be had ({str(error).splitlines()[0]}); "
                "use auto, cpu, or a device of this machine"
            ) from None
        return name
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def why(name: str, error: Exception) -> str:
    """The line that tells why model `name` cannot be loaded, and what to do."""
    text = f"{error} {error.__cause__ or ''}".replace(name, "").lower()
    first = (str(error) or type(error).__name__).strip().splitlines()[0]
    if "gated" in text or re.search(r"\b40[13] client error", text):
        return (
            f"model {name}: gated, private or misspelt; check the name, accept its licence on "
            f"https://huggingface.co/{name} and set HF_TOKEN to a token that may read it"
        )
    if "attention implementation" in text or "flashattention" in text:
        return (
            f"model {name}: does not support the attention that machine.attention names, or its "
            "package is not installed; name another or remove the key"
        )
    if Path(name).is_dir():
        return (
            f"model {name}: the folder cannot be loaded ({first}); it needs config.json and weights"
        )
    return (
        f"model {name}: cannot be had ({first}); check the name and the network, "
        "or download it and name its folder"
    )
