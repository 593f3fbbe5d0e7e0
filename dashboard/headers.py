"""What the server says of every page to the browser, and what it does not say at all."""

import base64
import hashlib
import re
from pathlib import Path

import streamlit
from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CLOSED = ("/_stcore/metrics",)
"""Ends of addresses that Streamlit opens and nobody here needs: how many visit, and how the server
does."""


def policy(index: str) -> str:
    """The Content-Security-Policy: nothing from elsewhere, in no frame.

    Streamlit makes components' scripts and workers of `blob:`, and styles in the page. `eval` is
    left to who drives a browser, as tests do: no text of others reaches one, and what is put into
    a page as a script does not run.

    Args:
        index: Streamlit's HTML; its own inline scripts are allowed, by their hashes, and no others.
    """
    inline = re.findall(r"<script>(.*?)</script>", index, flags=re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in inline]
    allowed = " ".join(f"'sha256-{one}'" for one in hashes)
    return "; ".join(
        [
            "default-src 'self'",
            f"script-src 'self' blob: {allowed}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "frame-ancestors 'none'",
        ]
    )


def see_settings(folder: Path) -> None:
    """That the dashboard's settings lie where Streamlit finds them from every folder: without them
    it would listen on all interfaces and tell its maker of visits.

    Raises:
        SystemExit: they do not.
    """
    found = folder / ".streamlit" / "config.toml"
    if not found.is_file():
        raise SystemExit(
            f"{found}: is missing, so the dashboard would start without its settings; make "
            f"{folder / '.streamlit'} a link to ../.streamlit, or take a whole checkout"
        )


class Hardened:
    """Sets the headers of every answer. Addresses hold invitations and owners' tokens: no other
    server is told from which page a visitor comes."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        index = Path(streamlit.__file__).parent / "static" / "index.html"
        self.headers = {
            "Content-Security-Policy": policy(index.read_text(encoding="utf-8")),
            "X-Frame-Options": "DENY",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self.headers)
            await send(message)

        if scope["type"] == "http" and scope["path"].rstrip("/").endswith(CLOSED):
            await PlainTextResponse("Not Found", 404)(scope, receive, sent)
        else:
            await self.app(scope, receive, sent)
