"""Browser code of the pages. Data reaches the page as text nodes and attributes, never as markup."""

from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

HERE = Path(__file__).parent


@cache
def component(name: str) -> Any:
    """The mounting command of the component in the folder `name`, registered once.

    `shared.js` and `shared.css` come before its own `main.js` and `style.css`.
    """
    js, css = (
        "\n".join((HERE / path).read_text(encoding="utf-8") for path in (shared, f"{name}/{own}"))
        for shared, own in (("shared.js", "main.js"), ("shared.css", "style.css"))
    )
    return st.components.v2.component(f"loupe_{name}", html='<div class="root"></div>', js=js, css=css)
