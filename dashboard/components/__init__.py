"""Browser code of the pages. Data reaches a page as text nodes and attributes, never as markup.

What a browser sends back need not come from this code: each component that answers has a record of
what it says (`Said`), and what is no such record is as if nothing had been said.
"""

import logging
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

import streamlit as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError

# Streamlit ignores a state that is no JSON too, but tells all of how it found out each time.
logging.getLogger("streamlit.components.v2.bidi_component.serialization").addFilter(
    lambda record: not record.exc_info
)

HERE = Path(__file__).parent
Number = Annotated[int, Field(ge=0, lt=2**31)]
"""A number or place of a feature, row, panel or message."""
Text = Annotated[str, Field(max_length=1000)]


class Said(BaseModel):
    """What a component says: fields of these very types. That they name what was shown is for the
    component to check."""

    model_config = ConfigDict(frozen=True, strict=True)


S = TypeVar("S", bound=Said)


def heard(kind: type[S], said: object) -> S | None:
    """What a browser sent, as this record; None where it is none."""
    try:
        return kind.model_validate(said)
    except ValidationError:
        return None


def last_said(key: str, name: str, kind: type[S]) -> S | None:
    """What the component `key` said last under `name`."""
    state = st.session_state.get(key)
    return heard(kind, state.get(name)) if isinstance(state, Mapping) else None


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
