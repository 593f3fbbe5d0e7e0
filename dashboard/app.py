"""Loupe's dashboard: `streamlit run dashboard/app.py -- PATH`, a run's folder or a bundle."""

from pathlib import Path

import streamlit as st

from dashboard import access, connection, login, state, widgets
from dashboard.components.page import styled
from dashboard.components.tray import tray
from dashboard.sheets import data_uri

HERE = Path(__file__).parent
TAKES_FEATURES = [
    ("Compare", "compare", 6), ("Steer", "steering", 8), ("List and export", "lists", 200),
]  # fmt: skip
"""Pages that chosen features can be taken to: title, address, at most so many."""

# In the page itself: a file of Streamlit's is gone for a moment when a press interrupts a run.
ICON = data_uri((HERE / "icon.png").read_bytes(), kind="png")
st.set_page_config(page_title="Loupe", page_icon=ICON, layout="wide")
who = access.visitor()
pages = [
    st.Page("views/overview.py", title="Overview", default=True),
    st.Page("views/browse.py", title="Browse", url_path="browse"),
    st.Page("views/map.py", title="Map", url_path="map"),
    st.Page("views/modalities.py", title="Modalities", url_path="modalities"),
    st.Page("views/compare.py", title="Compare", url_path="compare"),
    st.Page("views/steering.py", title="Steering", url_path="steering"),
    st.Page("views/feature.py", title="Feature", url_path="feature"),
    st.Page("views/image.py", title="Image", url_path="image"),
    st.Page("views/lists.py", title="Lists", url_path="lists"),
    st.Page(
        "views/annotate.py", title="Annotate", url_path=access.ANNOTATE, visibility="hidden"
    ),
    st.Page(
        "views/results.py", title="Results", url_path=access.RESULTS,
        visibility="visible" if who is access.Visitor.OWNER else "hidden",
    ),
]  # fmt: skip
sees = who in (access.Visitor.OWNER, access.Visitor.ANYBODY)
chosen = st.navigation(pages, position="top" if sees else "hidden")
state.arrive(chosen.url_path)
if not styled():
    st.stop()
access.keep()
if not chosen.url_path and (study := access.came_to_join(who)):
    st.switch_page("views/annotate.py", query_params={access.STUDY: study})


def show() -> None:
    """The page, or why there is none."""
    if why := access.refusal(chosen.url_path, who):
        widgets.refused(why)
        if login.offered() and not login.signed_in():
            login.sign_in()
        return
    if chosen.url_path == access.ANNOTATE:
        chosen.run()
        return
    try:
        names = list(connection.runs())
        if len(names) > 1:
            widgets.run_picker(names)
        connection.current()
    except connection.Refused as problem:
        widgets.refused(str(problem))
        return
    with st.container(key="tray-box"):
        tray(TAKES_FEATURES, run=connection.current().key)
    try:
        chosen.run()
    except connection.Damaged as problem:
        widgets.refused(f"The bundle's database is damaged ({problem}). Run the pipeline again.")


try:
    show()
finally:  # also where a page ends early by `st.stop`
    login.sign_out()
