"""A server that answers questions about pictures, by OpenAI's protocol of chat completions."""

import base64
import http.client
import io
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from PIL import Image

from pipeline import config
from pipeline.models.loading import ModelError

_MOST_BYTES = 2**20
_LONGEST_PAUSE = 60.0
_BUSY = {408, 409, 425, 429, 500, 502, 503, 504, 529}
"""Statuses after which the same question may be answered."""
_USELESS = {301, 302, 303, 307, 308, 401, 403, 404, 405}
"""Statuses after which no other question will be."""


class Hopeless(ModelError):
    """The model will answer no other question either."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The key goes to the address that the config names, to no other."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Endpoint:
    """Asks the server that `settings` names; the key is read when it is made, and nowhere kept."""

    def __init__(
        self, settings: config.Endpoint, *, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self.settings, self._pause = settings, pause
        base = settings.url.rstrip("/")
        self._url = base if base.endswith("/chat/completions") else f"{base}/chat/completions"
        self._open = urllib.request.build_opener(_NoRedirects).open
        self._headers = {"Content-Type": "application/json"}
        if settings.key_env is not None:
            key = os.environ[settings.key_env].strip()
            if not (key.isascii() and key.isprintable()):
                # The library that sends it would repeat it in its error.
                raise ModelError(f"{settings.key_env}: holds no key; mend the variable")
            self._headers["Authorization"] = f"Bearer {key}"

    def say(self, image: Image.Image, prompt: str) -> str:
        """Its answer about an RGB picture; asks again, with growing pauses or as the server wants,
        while it is busy or cannot be reached.

        Raises:
            Hopeless: it refuses the key or the address, or cannot be reached.
            ModelError: it refuses this question, stays busy, or says what is no answer.
        """
        body = json.dumps(self._question(image, prompt)).encode()
        wait, why, reached = 0.0, "", False
        for attempt in range(self.settings.attempts):
            self._pause(wait) if attempt else None
            request = urllib.request.Request(self._url, body, self._headers)
            try:
                with self._open(request, timeout=self.settings.timeout) as reply:
                    return _content(reply.read(_MOST_BYTES), self._url)
            except urllib.error.HTTPError as error:
                with error:
                    why, reached = _told(error.code), True
                    wait = _wished(error.headers.get("Retry-After"), attempt)
                if error.code not in _BUSY:
                    kind = Hopeless if error.code in _USELESS else ModelError
                    raise kind(f"endpoint {self._url}: {why}") from None
            except (OSError, http.client.HTTPException) as error:
                why = str(getattr(error, "reason", "") or error) or type(error).__name__
                wait = _wished(None, attempt)
        kind = ModelError if reached else Hopeless
        raise kind(
            f"endpoint {self._url}: no answer after {self.settings.attempts} attempts ({why}); "
            "see that the server runs and is not overloaded"
        )

    def _question(self, image: Image.Image, prompt: str) -> dict[str, Any]:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=90)
        data = base64.b64encode(file.getvalue()).decode()
        picture = {"url": f"data:image/jpeg;base64,{data}"}
        content = [{"type": "text", "text": prompt}, {"type": "image_url", "image_url": picture}]
        return {
            "model": self.settings.model,
            "messages": [{"role": "user", "content": content}],
        }


def _content(body: bytes, url: str) -> str:
    """What the model says in a chat completion."""
    try:
        said = json.loads(body)["choices"][0]["message"]["content"]
        if isinstance(said, list):
            said = "\n".join(part["text"] for part in said if part.get("type") == "text")
        if isinstance(said, str):
            return said
    except (ValueError, LookupError, TypeError, AttributeError):
        pass
    raise ModelError(
        f"endpoint {url}: its answer is no chat completion; see that labels.endpoint.url is the "
        "base of an OpenAI-compatible server, as https://api.openai.com/v1"
    )


def _told(status: int) -> str:
    """The status and its remedy; never the server's own text, which may repeat the key."""
    name = HTTPStatus(status).phrase if status in set(HTTPStatus) else "unknown status"
    remedy = {
        401: "; see that labels.endpoint.key_env names the variable of a valid key",
        403: "; see that the key may use this model",
        404: "; see labels.endpoint.url and model",
    }.get(status, "; name the address that it leads to" if 300 <= status < 400 else "")
    return f"{status} {name}{remedy}"


def _wished(retry_after: str | None, attempt: int) -> float:
    """Seconds to wait: what the server asks for, else 1, 2, 4, ...; at most a minute."""
    try:
        wanted = float(retry_after) if retry_after is not None else 2.0**attempt
    except ValueError:  # a date
        wanted = 2.0**attempt
    return min(max(wanted, 0.0), _LONGEST_PAUSE)
