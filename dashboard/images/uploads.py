"""Images that a visitor gives: Streamlit holds each in memory until the visit ends, unless it is
let go of."""

from collections.abc import Iterable

import streamlit as st
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

_PAGE, _HELD, _MORE = "uploads-page", "uploads-held", "uploads-more"


def opened(page: str) -> None:
    """A page is on the screen: the uploader of the one before is gone, with what it held."""
    if st.session_state.get(_PAGE) != page:
        _hold([])
        st.session_state[_PAGE] = page


def first(given: list[UploadedFile] | UploadedFile | None, *, most: int) -> list[tuple[str, bytes]]:
    """Names and contents of the first `most` of the files in the page's uploader of images; says so
    where there are more. All others of this visit are let go of."""
    files = given if isinstance(given, list) else [given] if given else []
    kept = files[:most]
    if len(files) != len(kept):
        st.session_state[_MORE] = True  # the uploader lists them still
    elif len(files) < most:
        st.session_state.pop(_MORE, None)
    if _MORE in st.session_state:
        st.caption(f"Of these images the first {most} are shown.")
    made = [(file.name, file.getvalue()) for file in kept]
    _hold([file.file_id for file in kept], but=[file.file_id for file in files])
    return made


def _hold(ids: Iterable[str], *, but: Iterable[str] = ()) -> None:
    """Keep these; let go of those that were kept before, and of `but`."""
    gone = ({*st.session_state.get(_HELD, ())} | {*but}) - {*ids}
    st.session_state[_HELD] = [*ids]
    context = get_script_run_ctx()
    if context is not None and isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        for one in gone:
            context.uploaded_file_mgr.remove_file(context.session_id, one)
