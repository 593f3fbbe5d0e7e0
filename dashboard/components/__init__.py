"""Browser code of the pages. Data reaches a page as text nodes and attributes, never as markup."""

from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

HERE = Path(__file__).parent


@cache
def component(name: str, *, isolate_styles: bool = True, css: str = "") -> Any:
    """The mounting command of the component in the folder `name`, registered once.

    Its script is `shared.js` and the folder's *.js, `main.js` last; its style the folder's
    `style.css` after `css`, and after `shared.css` where styles are its own.
    """
    own = sorted((HERE / name).glob("*.js"), key=lambda path: (path.name == "main.js", path.name))
    styles = [HERE / "shared.css"] if isolate_styles else []
    return st.components.v2.component(
        f"loupe_{name}",
        html='<div class="root"></div>',
        js=_joined([HERE / "shared.js", *own]),
        css=css + _joined([*styles, HERE / name / "style.css"]),
        isolate_styles=isolate_styles,
    )


def _joined(paths: list[Path]) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)
