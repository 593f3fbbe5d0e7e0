"""Signing in and out by Streamlit's login (OIDC), where the server has one."""

import html
import logging
from collections.abc import Mapping
from ssl import SSLError
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import streamlit as st
from streamlit.errors import StreamlitAuthError

from dashboard.people import annotations

SILENT = "The login does not answer just now. Nothing is lost: try again in a few minutes."
NOT_SET_UP = "This server's login is not set up as it should be. Tell the person who runs it."
WAIT_SECONDS = 5
_PROBLEM = "login-problem"
_LOG = logging.getLogger(__name__)


def offered() -> bool:
    """Whether one can sign in to this server."""
    return "is_logged_in" in st.user


def signed_in() -> bool:
    """Whether the visitor is signed in."""
    return st.user.get("is_logged_in") is True


def sign_in() -> None:
    """A button for each provider; one line in place of a way that leads nowhere."""
    with st.container(key="sign-in", horizontal=True):
        for name in _providers():
            st.button(f"Sign in with {name}" if name else "Sign in", on_click=_begin, args=[name])
    if problem := st.session_state.pop(_PROBLEM, ""):
        st.warning(problem)


def sign_out() -> None:
    """Who is signed in, and a button that ends it; nothing where nobody is."""
    if not signed_in():
        return
    who = html.escape(annotations.signed_in() or "somebody")
    with st.container(
        key="signed-in", horizontal=True, horizontal_alignment="right", vertical_alignment="center"
    ):
        # As HTML, for Markdown makes a link of an address.
        st.html(f'<p class="signed-in">Signed in as {who}</p>', width="content")
        st.button("Sign out", type="tertiary", on_click=st.logout)


def _providers() -> dict[str, Mapping[str, object]]:
    """Name -> settings, in the order of the server's secrets; "" is the one in `[auth]` itself."""
    auth: Mapping[str, object] = st.secrets["auth"]
    named = {
        name: settings
        for name, settings in auth.items()
        if isinstance(settings, Mapping) and "client_id" in settings
    }
    return named if named and "client_id" not in auth else {"": auth} | named


def _begin(provider: str) -> None:
    problem = ""
    settings = _providers().get(provider)
    if settings is None:  # taken out of the secrets since the button was shown
        problem = NOT_SET_UP
    elif why := _out_of_reach(settings):
        _LOG.warning("login: %s", why)
        problem = SILENT
    else:
        try:
            st.login(provider or None)
        except StreamlitAuthError as error:
            _LOG.error("login: %s", error)
            problem = NOT_SET_UP
    st.session_state[_PROBLEM] = problem


def _out_of_reach(provider: Mapping[str, object]) -> str:
    """Why the provider cannot be reached; empty where it can. Streamlit would leave the page for
    an empty one that says "Authentication error"."""
    url = str(provider.get("server_metadata_url", ""))
    if not url.startswith(("https://", "http://")):
        return ""  # `st.login` says what lacks
    try:
        # A name of its own, for some providers refuse Python's.
        with urlopen(Request(url, headers={"User-Agent": "Loupe"}), timeout=WAIT_SECONDS):
            return ""
    except HTTPError as error:
        return f"{url}: {error}" if error.code == 404 or error.code >= 500 else ""
    except URLError as error:
        # Authlib has certificates of its own, and may know the one that this Python does not.
        return "" if isinstance(error.reason, SSLError) else f"{url}: {error.reason}"
    except OSError as error:
        return f"{url}: {error}"
