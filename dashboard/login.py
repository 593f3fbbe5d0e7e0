"""Signing in and out by Streamlit's login (OIDC), where the server has one."""

import html
import logging
from ssl import SSLError
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import streamlit as st
from streamlit.errors import StreamlitAuthError

from dashboard import people

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
    """A button that leads to the login; one line in place of a way that leads nowhere."""
    st.button("Sign in", on_click=_begin)
    if problem := st.session_state.pop(_PROBLEM, ""):
        st.warning(problem)


def sign_out() -> None:
    """Who is signed in, and a button that ends it; nothing where nobody is."""
    if not signed_in():
        return
    who = html.escape(people.signed_in() or "somebody")
    with st.container(
        key="signed-in", horizontal=True, horizontal_alignment="right", vertical_alignment="center"
    ):
        # As HTML, for Markdown makes a link of an address.
        st.html(f'<p class="signed-in">Signed in as {who}</p>', width="content")
        st.button("Sign out", type="tertiary", on_click=st.logout)


def _begin() -> None:
    problem = ""
    if why := _out_of_reach():
        _LOG.warning("login: %s", why)
        problem = SILENT
    else:
        try:
            st.login()
        except StreamlitAuthError as error:
            _LOG.error("login: %s", error)
            problem = NOT_SET_UP
    st.session_state[_PROBLEM] = problem


def _out_of_reach() -> str:
    """Why the provider cannot be reached; empty where it can. Streamlit would leave the page for
    an empty one that says "Authentication error"."""
    url = str(st.secrets["auth"].get("server_metadata_url", ""))
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
