"""The model hub: asked only where it can be reached, and never for code."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from threading import RLock, Thread

import huggingface_hub
from huggingface_hub import constants
from transformers import dynamic_module_utils

PATIENCE = 3.0
"""Seconds within which a server must answer."""
_REMEMBERED = 60.0
"""Seconds for which an answer, or none, holds."""

# Where it is not told what to do with a checkpoint's own code, transformers asks at the terminal,
# and runs the code on a "y". Without time to answer it refuses.
dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0

turn = RLock()
"""Held while libraries load: how they do that is set for the whole process."""
_known: dict[str, tuple[float, bool]] = {}


@contextlib.contextmanager
def asked_for(name: str) -> Iterator[None]:
    """While the files of `name` are looked for: a folder needs no hub, and where that does not
    answer, only what it left in its cache is read. The libraries would try it again and again for
    up to a minute."""
    with turn:
        before = constants.HF_HUB_OFFLINE
        if not before:
            constants.HF_HUB_OFFLINE = Path(name).is_dir() or not answers(constants.ENDPOINT)
        try:
            yield
        finally:
            constants.HF_HUB_OFFLINE = before


def answers(address: str) -> bool:
    """Whether there is any answer from the server at this address, within a few seconds."""
    when, found = _known.get(address, (-_REMEMBERED, False))
    if time.monotonic() - when > _REMEMBERED:
        heard: list[int] = []

        def ask() -> None:
            with contextlib.suppress(Exception):  # whatever goes wrong: there is no answer
                client = huggingface_hub.get_session()
                heard.append(client.head(address, timeout=PATIENCE).status_code)

        # In a thread: how long a name is looked up is not the client's to limit.
        asking = Thread(target=ask, daemon=True)
        asking.start()
        asking.join(PATIENCE + 1)
        found = bool(heard)
        _known[address] = (time.monotonic(), found)
    return found
