"""Loupe's dashboard: `streamlit run dashboard/app.py -- PATH`, a run's folder or a bundle."""

from pathlib import Path

import streamlit as st

from dashboard import connection, widgets
from dashboard.components.page import styled
from dashboard.components.tray import tray

HERE = Path(__file__).parent
TAKES_FEATURES = [
    ("Compare", "compare", 6), ("Steer", "steering", 8), ("List and export", "lists", 200),
]  # fmt: skip
"""Pages that chosen features can be taken to: title, address, at most so many."""

st.set_page_config(page_title="Loupe", page_icon=str(HERE / "icon.png"), layout="wide")
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
]
chosen = st.navigation(pages, position="top")
if not styled():
    st.stop()
try:
    names = list(connection.runs())
    if len(names) > 1:
        widgets.run_picker(names)
    connection.current()
except connection.Refused as problem:
    widgets.refused(str(problem))
    st.stop()
with st.container(key="tray-box"):
    tray(TAKES_FEATURES, run=connection.current().key)
try:
    chosen.run()
except connection.Damaged as problem:
    widgets.refused(f"The bundle's database is damaged ({problem}). Run the pipeline again.")
