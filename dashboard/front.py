"""What every page stands in: its configuration, the navigation, who may see it, the run picker."""

from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from dashboard import address
from dashboard.bundle import cached, opening
from dashboard.cards.contact_sheets import data_uri
from dashboard.components.page import styled
from dashboard.components.tray import tray
from dashboard.images import uploads
from dashboard.live import share
from dashboard.page import furniture
from dashboard.pages import ANNOTATE, PAGES, For
from dashboard.people import access, annotations, login

HERE = Path(__file__).parent
TAKES_FEATURES = [
    ("Compare", "compare", 6), ("Steer", "steering", 8), ("List and export", "lists", 200),
]  # fmt: skip
"""Pages that chosen features can be taken to: title, address, at most so many."""


def page() -> None:
    """One run of the script, in its turn where a model works."""
    with share.shared().page():
        run()


def run() -> None:
    """The page of the address, as far as the visitor may see it."""
    # In the page itself: a file of Streamlit's is gone for a moment when a press interrupts a run.
    icon = data_uri((HERE / "icon.png").read_bytes(), kind="png")
    st.set_page_config(page_title="Loupe", page_icon=icon, layout="wide")
    who = access.visitor()
    sees = who in (access.Visitor.OWNER, access.Visitor.ANYBODY)
    chosen = st.navigation(offered(who), position="top" if sees else "hidden")
    address.arrive(chosen.url_path)
    judges = chosen.url_path == ANNOTATE.address and who is not access.Visitor.OWNER
    annotations.tell(why=sees and not judges)
    if not styled():
        st.stop()
    access.keep()
    uploads.opened(chosen.url_path)
    if not chosen.url_path and (study := access.came_to_join(who)):
        st.switch_page(ANNOTATE.file, query_params={access.STUDY: study})
    try:
        show(chosen, who)
    finally:  # also where a page ends early by `st.stop`
        login.sign_out()


def offered(who: access.Visitor) -> list[StreamlitPage]:
    """Every page; which of them the navigation shows hangs on who looks on."""
    shown = {For.READERS} | ({For.OWNERS} if who is access.Visitor.OWNER else set())
    return [
        st.Page(
            page.file, title=page.title, url_path=page.address or None,
            default=not page.address, visibility="visible" if page.sees in shown else "hidden",
        )
        for page in PAGES
    ]  # fmt: skip


def show(chosen: StreamlitPage, who: access.Visitor) -> None:
    """The page, or why there is none."""
    if why := access.refusal(chosen.url_path, who):
        furniture.refused(why)
        if login.offered() and not login.signed_in():
            login.sign_in()
        return
    if chosen.url_path == ANNOTATE.address:
        chosen.run()
        return
    try:
        names = list(opening.runs())
        if len(names) > 1:
            furniture.run_picker(names)
        opening.current()
    except opening.Refused as problem:
        furniture.refused(str(problem))
        return
    run = opening.current()
    with st.container(key="tray-box"):
        tray(TAKES_FEATURES, run=run.key)
    try:
        if lost := cached.lost(run):
            st.warning(f"The bundle's database lacks {', '.join(lost)}. Run the pipeline again.")
        furniture.notice(cached.judged_alone(run))
        chosen.run()
    except opening.Damaged as problem:
        furniture.refused(f"The bundle's database is damaged ({problem}). Run the pipeline again.")
