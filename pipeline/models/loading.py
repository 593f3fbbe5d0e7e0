"""Loading from the Hugging Face hub or a folder, with failures told in one line."""

import contextlib
import copy
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.utils import logging as hub_logging
from transformers.utils import logging as transformers_logging

from pipeline import config
from pipeline.errors import LoupeError
from pipeline.models import files, hub


class ModelError(LoupeError, RuntimeError):
    """A model cannot be had or has no such hook point; the message names it and the remedy."""


def pretrained(loader: Any, name: str, *, revision: str | None = None, **options: Any) -> Any:
    """`loader.from_pretrained(name)`, its failures told in one line; no code of the checkpoint is
    run.

    Raises:
        ModelError: no such folder or model, no network, gated, or files that do not fit the class.
    """
    with telling(name), quiet(), hub.asked_for(name):
        return loader.from_pretrained(name, revision=revision, trust_remote_code=False, **options)


def describe(name: str, *, revision: str | None = None) -> Any:
    """The config of a model, by which its form is made.

    Raises:
        ModelError: as `pretrained`, or its numbers make no model.
    """
    from transformers import AutoConfig

    with telling(name):
        # As it is written, and with what its class puts in the place of what is not.
        _refuse_absurd(name, files.described(Path(name, "config.json")))
        found = pretrained(AutoConfig, name, revision=revision)
        _refuse_absurd(name, found.to_dict())
    return found


def _refuse_absurd(name: str, settings: Mapping[str, Any]) -> None:
    if wrong := files.absurd(settings):
        raise ModelError(f"model {name}: its config.json says {wrong}; fetch it again")


def pretrained_model(
    loader: Any, name: str, *, machine: config.Machine, device: str, **options: Any
) -> Any:
    """A model as `pretrained` gives it, with every weight from its files and all of these in it,
    in eval mode, on `device` or spread as `machine` says.

    On the device `meta` only its form is made: of a folder with all that its files tell, of a model
    of the hub from its config, without its weights.

    Raises:
        ModelError: as `pretrained`, or the weights are not those of the model.
    """
    settings = options.pop("config", None) or describe(name, revision=options.get("revision"))
    if machine.attention is not None:
        options["attn_implementation"] = machine.attention
    if broken := files.broken(name):
        raise ModelError(f"model {name}: {broken}")
    # Quantized weights are of another form than the config's until they are unpacked.
    if files.weights(name) and getattr(settings, "quantization_config", None) is None:
        form = _fitting(loader, name, settings, **{**_unpacked(options), "device_map": "meta"})
        if device == "meta":
            return form.eval()
    if device == "meta":
        return skeleton(loader, name, like=settings)
    if machine.device_map is not None:
        options["device_map"] = machine.device_map
    model = _fitting(loader, name, settings, **options)
    model.eval()
    if "device_map" not in options and getattr(model, "hf_device_map", None) is None:
        with telling(name):
            model.to(device)
    return model


def _fitting(loader: Any, name: str, settings: Any, **options: Any) -> Any:
    """The model, whose weights are all there, and all that its files hold of it are in it."""
    model, info = pretrained(
        loader,
        name,
        config=copy.deepcopy(settings),
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # told here, by their names
        **options,
    )
    if wrong := files.misfits(model, info):
        raise ModelError(f"model {name}: {wrong}")
    return model


def _unpacked(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key != "quantization_config"}


def skeleton(loader: Any, name: str, *, like: Any) -> Any:
    """The model's form without weights, from its config alone."""
    with telling(name), torch.device("meta"), quiet():
        build = getattr(loader, "from_config", None)
        made = loader(like) if build is None else build(like, trust_remote_code=False)
    return made.eval()


@contextlib.contextmanager
def telling(name: str) -> Iterator[None]:
    """Whatever a library raises while it loads `name`, as a ModelError in one line.

    What comes of damaged files is anything: no list of classes holds it all, and what the
    tokenizers library panics with is no `Exception`.
    """
    try:
        yield
    except ModelError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise ModelError(why(name, error)) from error


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
    with hub.turn, _reports_off(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _reports_off() -> Iterator[None]:
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
            # A copy back, which a device without memory of its own does not make.
            torch.zeros(1, device=name).cpu()
        except Exception as error:  # each kind of device raises its own
            raise ModelError(
                f"machine.device = {name!r} is not to be had ({line_of(error)}); "
                "use auto, cpu, or a device of this machine"
            ) from None
        return name
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def why(name: str, error: BaseException) -> str:
    """The line that tells why model `name` cannot be loaded, and what to do."""
    text = f"{error} {error.__cause__ or ''}".replace(name, "").lower()
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
    if "custom code" in text or "trust_remote_code" in text:
        return (
            f"model {name}: comes with code of its own, which is never run here; name a model of a "
            "family that transformers itself knows"
        )
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return (
            f"model {name}: does not fit in memory; choose a smaller dtype, quantization, "
            "machine.device_map or another device"
        )
    if "git identifier" in text or "revision not found" in text:
        return f"model {name}: has no such revision; mend the key revision, or remove it"
    if broken := files.broken(name):
        return f"model {name}: {broken}"
    if Path(name).is_dir():
        return (
            f"model {name}: the folder cannot be loaded ({line_of(error)}); it needs config.json "
            "and weights"
        )
    return (
        f"model {name}: cannot be had ({line_of(error)}); check the name and the network, "
        "or download it and name its folder"
    )


def line_of(error: BaseException) -> str:
    """What an error says, in one line of a reasonable length."""
    said = " ".join((str(error).strip() or type(error).__name__).split("\n")[:2])
    said = " ".join(said.split())
    return said if len(said) <= 300 else f"{said[:300]}..."
