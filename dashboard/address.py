"""What a page shows is in its address: reading it, and making the addresses of other pages.

Browse's choices are widgets bound to query parameters. Feature has no widget of its own: it reads
its parameters, and the links and keys of its components change the address in the browser (`visit`
in components/shared.js). Nothing here writes to the address but on an event, so that the browser's
Back works.
"""

import hashlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlencode

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from dashboard.records.dictionaries import Dictionary
from dashboard.records.features import Key

BETWEEN = "~"
"""Stands between features in an address."""
RUN = "run"
"""Query parameter and session key of the run picker."""
_PAGE, _OWNERS = "page-here", "page-owners"
"""Session keys: the address of the page that runs, and which page used a control's name last."""


def arrive(page: str) -> None:
    """Say which page runs, by its address, before it draws anything."""
    if page != here():
        _as_addressed()
    st.session_state[_PAGE] = page


def _as_addressed() -> None:
    """Give back what a link, or the browser's Back, says in an address: where the page before has a
    control of the same name, Streamlit takes it for that page's and drops it."""
    at = get_script_run_ctx()
    if at is None or not at.is_history_navigation:
        return
    if all(name in st.query_params for name in parse_qs(at.query_string, keep_blank_values=True)):
        return
    with at.session_state.query_params() as held:
        held.populate_from_query_string(at.query_string)
        held.set_initial_query_params_from_current()
    st.query_params.update({})  # tells the browser


def here() -> str:
    """The address of the page that runs, or whose control was used; empty for the first one."""
    return str(st.session_state.get(_PAGE, ""))


def own(name: str) -> dict[str, Any]:
    """Key and binding of a control of this page whose value stands in the address under `name`.

    Streamlit keeps the value of such a control under its name while other pages are shown, and
    gives it to whatever control bears that name next. So a value that another page left is let go
    here; what this page's control was left at comes back.
    """
    owners = st.session_state.setdefault(_OWNERS, {})
    if owners.get(name, here()) != here():
        st.session_state.pop(name, None)
    owners[name] = here()
    return shared(name)


def shared(name: str) -> dict[str, Any]:
    """The same of a control that all pages show, with one value for all of them."""
    return {"key": name, "bind": "query-params"}


def showing(key: str, value: Any, *, given: str = "value") -> dict[str, Any]:
    """Key and value of a control that shows `value`, whoever chose it, under the name that the
    control's command has for it (`given`).

    The browser first learns of a control in a popover when that opens, perhaps runs after it was
    set: so each run says what it shows. Only where something else than the control chose another
    value (Back, a link) it is set, for Streamlit takes no value from where it has one.
    """
    if st.session_state.get(key, value) != value:
        st.session_state[key] = value
        return {"key": key}
    return {"key": key, given: value}


def to_page(page: str) -> str:
    """The address of a page as it opens."""
    return _address(page)


def to_browse(dictionary: Dictionary) -> str:
    """The address of Browse on one dictionary."""
    return _address("browse", hook=dictionary.place, name=dictionary.name)


def to_browse_like(example_id: int) -> str:
    """The address of Browse on features that show images like this one of the run."""
    return _address("browse", like=example_id)


def to_feature(dictionary_id: str, feature_id: int) -> str:
    """The address of one feature."""
    return _address("feature", dictionary=dictionary_id, feature=feature_id)


def to_compare(keys: Sequence[Key]) -> str:
    """The address of Compare on chosen features, side by side."""
    return _address("compare", features=BETWEEN.join(feature_key(*key) for key in keys))


def to_columns(names: Sequence[str]) -> str:
    """The address of Compare on dictionaries, by their short names; the first is the reference."""
    return _address("compare", columns=names)


def to_list(uuid: str | None = None) -> str:
    """The address of a named list; without one, of the visitor's stars."""
    return _address("lists", **({"list": uuid} if uuid else {}))


def choosing(feature: str) -> str:
    """What changes in a page's own address when this feature, named as by `feature_key`, is the one
    chosen there."""
    return "&" + urlencode({"features": feature})


def without(*names: str) -> str:
    """The page's own address without these parameters."""
    kept = {k: st.query_params.get_all(k) for k in st.query_params if k not in names}
    return f"?{urlencode(kept, doseq=True)}"


def with_values(**changes: str) -> str:
    """The page's own address with other values of these parameters."""
    kept = {k: st.query_params.get_all(k) for k in st.query_params} | changes
    return f"?{urlencode(kept, doseq=True)}"


def asked_list() -> str | None:
    """The list in the address; None where it names none."""
    return st.query_params.get("list")


def to_image(example_id: int | None, beside: int | None = None, **kept: str) -> str:
    """The address of Image on an example, with another one beside it; without an example beside
    what is shown there. `kept` are choices on that page that stay: `layer`, `set`, `find`,
    `seed`."""
    pair = {"example": example_id, "with": beside}
    asked = {name: of for name, of in pair.items() if of is not None}
    return _address("image", **asked, **{name: of for name, of in kept.items() if of})


def to_steering(keys: Sequence[Key] = (), **kept: str) -> str:
    """The address of Steering on chosen features; `kept` are the choices on that page (see
    `steering.Asked`)."""
    chosen = {"features": BETWEEN.join(feature_key(*key) for key in keys)} if keys else {}
    return _address("steering", **chosen, **kept)


def feature_key(dictionary_id: str, feature_id: int) -> str:
    """One feature as an address names it: `MODEL/HOOK/NAME:12`."""
    return f"{dictionary_id}:{feature_id}"


def asked_feature() -> tuple[str | None, int | None]:
    """The dictionary and feature in the address; None for what is missing or no number."""
    return st.query_params.get("dictionary"), asked_number("feature", most=10**9)


def asked_features() -> tuple[list[Key], list[str]]:
    """The features in the address under `features`, each once, and the parts that name none."""
    named = named_features()
    return list(dict.fromkeys(key for _, key in named if key)), [t for t, key in named if not key]


def named_features() -> list[tuple[str, Key | None]]:
    """The parts of `features` in the address, each with the feature that it names, if any."""
    found: list[tuple[str, Key | None]] = []
    for text in filter(None, st.query_params.get("features", "").split(BETWEEN)):
        dictionary_id, _, numbers = text.rpartition(":")
        for number in numbers.split(","):
            known = dictionary_id and number.isascii() and number.isdigit() and len(number) < 10
            found.append((text, (dictionary_id, int(number)) if known else None))
    return found


def asked_text(name: str) -> str:
    """What the address says under `name`; empty where it says nothing."""
    return st.query_params.get(name, "")


def asked_number(name: str, *, most: int = 2**63) -> int | None:
    """The whole number below `most` in the address under `name`, or None."""
    text = st.query_params.get(name, "")
    known = text.isascii() and text.isdigit() and len(text) < 20
    return int(text) if known and int(text) < most else None


def asked_page(of: str) -> int:
    """The page of Browse in the address, from 1, if it is a page of the choices `of`: a page stays
    in the address when a choice changes, and then means nothing."""
    text = st.query_params.get("page", "")
    known = text.isascii() and text.isdigit() and len(text) < 7
    return max(1, int(text)) if known and st.query_params.get("of", of) == of else 1


def name_of(*choices: object) -> str:
    """A short name of these choices, for `asked_page`."""
    return hashlib.blake2s(repr(choices).encode(), digest_size=4).hexdigest()


def _address(page: str, **parameters: str | int | Sequence[str]) -> str:
    run = st.session_state.get(RUN)
    return f"{page}?{urlencode(({RUN: run} if run else {}) | parameters, doseq=True)}"
