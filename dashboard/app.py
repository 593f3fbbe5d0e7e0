"""Loupe's dashboard: `streamlit run dashboard/app.py -- PATH`, a run's folder or a bundle.

Streamlit imports this file once, finds the server in it, and runs it as a script for every page.
Its settings are those of `.streamlit` beside this file, a link to the project's, from whatever
folder it is started.
"""

from pathlib import Path

import streamlit as st

if __name__ == "__main__":
    from dashboard import front

    front.page()
else:
    from starlette.middleware import Middleware

    from dashboard.headers import Hardened, see_settings

    see_settings(Path(__file__).parent)
    server = st.App(Path(__file__).resolve(), middleware=[Middleware(Hardened)])
