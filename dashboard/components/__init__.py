"""Browser code of the pages. Data reaches a page as text nodes and attributes, never as markup."""

from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

HERE = Path(__file__).parent


@cache
def component(
    name: str, *, uses: tuple[str, ...] = (), isolate_styles: bool = True, css: str = ""
) -> Any:
    """The mounting command of the component in the folder `name`, registered once.

    Its script is `shared.js`, the *.js of what it `uses` beside that, and the folder's *.js,
    `main.js` last; its style the folder's `style.css` after `css` and the *.css of what it uses,
    and after `shared.css` where styles are its own.
    """
    own = sorted((HERE / name).glob("*.js"), key=lambda path: (path.name == "main.js", path.name))
    styles = [HERE / "shared.css"] if isolate_styles else []
    styles += [HERE / f"{used}.css" for used in uses]
    return st.components.v2.component(
        f"loupe_{name}",
        html='<div class="root"></div>',
        js=_joined([HERE / "shared.js", *(HERE / f"{used}.js" for used in uses), *own]),
        css=css + _joined([*styles, HERE / name / "style.css"]),
        isolate_styles=isolate_styles,
    )


def _joined(paths: list[Path]) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)
