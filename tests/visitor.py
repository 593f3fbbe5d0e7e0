"""A visitor without a browser: what a page's code sends to the server, also what no page would."""

import json
import re
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

WAIT = 120
"""Seconds until a page must have run."""


@dataclass(frozen=True)
class Control:
    """A control as the page shows it: what it is at, and how one moves it."""

    key: str
    value: Any
    other: dict[str, Any]
    """Another value, as the browser would send it."""


def control(kind: str, one: Any) -> Control | None:
    """The control that an element is; None where it is none, or has nothing else to choose."""
    key = one.id.removeprefix("$$ID-").split("-", 1)[1] if getattr(one, "id", "") else ""
    if kind in ("slider", "selectbox", "multiselect", "button_group") and one.options:
        return _choice(key, kind, one)
    if kind == "slider":
        value = list(one.value if one.set_value else one.default)
        moved = [(at + one.min + one.max) / 3 for at in value]
        return Control(key, value, {"double_array_value": moved})
    if kind in ("text_input", "text_area"):
        shown = one.value if one.set_value else one.default
        return Control(key, shown, {"string_value": "zebra"})
    if kind == "number_input":
        shown = one.value if one.set_value else one.default
        wire = "int_value" if one.data_type == one.INT else "double_value"
        return Control(key, shown, {wire: int(shown) + 1})
    if kind == "checkbox":
        return Control(key, one.default, {"bool_value": not one.default})
    return None


def _choice(key: str, kind: str, one: Any) -> Control | None:
    """A control with options, which go over the wire by their names."""
    options = [getattr(each, "content", each) for each in one.options]
    default = one.default if isinstance(one.default, int) else list(one.default)
    places = [default] if isinstance(default, int) else default
    if kind == "selectbox":
        names = [one.raw_value] if one.set_value else [options[at] for at in places]
    elif kind == "slider":
        names = list(one.raw_value) if one.set_value else [options[int(at)] for at in places]
    else:
        names = list(one.raw_values) if one.set_value else [options[at] for at in places]
    left = [option for option in options if option not in names]
    if not left:
        return None
    if kind == "selectbox":
        return Control(key, names, {"string_value": left[-1]})
    ends = sorted({*names[1:], left[-1]}, key=options.index) if kind == "slider" else left[-1:]
    return Control(key, names, {"string_array_value": ends})


class Visitor:
    """One session of a dashboard that runs at `url`.

    Attributes:
        elements: what the last run showed, kind and message, in order.
        widgets: what the page's controls and components are at, by their ids.
    """

    def __init__(self, url: str) -> None:
        address = f"{url.replace('http', 'ws', 1)}/_stcore/stream"
        self._url, self._open = url, ExitStack()
        self._socket = self._open.enter_context(connect(address, max_size=None, ping_interval=None))
        self._page, self._query, self._hash, self.ids = "", "", "", dict[str, str]()
        self.elements: list[tuple[str, Any]] = []
        self.widgets: dict[str, dict[str, Any]] = {}
        self.fragments: dict[str, str] = {}

    def __enter__(self) -> "Visitor":
        self.go("")
        self.go("")  # the first run waits for the page's style
        return self

    def __exit__(
        self, kind: type[BaseException] | None, one: BaseException | None, at: TracebackType | None
    ) -> None:
        self._open.close()

    def go(self, page: str, /, **parameters: str | list[str]) -> "Visitor":
        """Open a page by its address."""
        self._page, self._query, self._hash = page, urlencode(parameters, doseq=True), ""
        self.widgets = {id_: at for id_, at in self.widgets.items() if id_.endswith("-page")}
        return self._ask(history=True)

    def again(self) -> "Visitor":
        """Run the page once more."""
        return self._ask()

    def menu(self, page: str) -> "Visitor":
        """Open a page by the menu."""
        self._page, self._query, self._hash = page, "", ""
        self.widgets = {id_: at for id_, at in self.widgets.items() if id_.endswith("-page")}
        return self._ask()

    def send(self, key: str, value: dict[str, Any]) -> "Visitor":
        """Set a control to a value as it goes over the wire, `{"string_value": "x"}`."""
        kind, at = next(iter(value.items()))
        self.widgets[self.ids[key]] = {kind: {"data": at} if isinstance(at, list) else at}
        return self._ask()

    @property
    def controls(self) -> dict[str, Control]:
        """What the page can be moved by."""
        found = [control(kind, one) for kind, one in self.elements]
        return {one.key: one for one in found if one is not None}

    def say(self, key: str, state: Any, *, fragment: str = "") -> "Visitor":
        """Set a component's state; with `fragment` run only that part of the page."""
        self.widgets[self.ids[key]] = {"json_value": json.dumps(state)}
        return self._ask(fragment=fragment)

    def tell(self, key: str, state: Any) -> "Visitor":
        """Set what is selected in a chart."""
        self.widgets[self.ids[key]] = {"string_value": json.dumps(state)}
        return self._ask()

    def trigger(self, key: str, event: str, value: Any, *, fragment: str = "") -> "Visitor":
        """Something that a component says once, as a click."""
        self.widgets.setdefault(self.ids[key], {"json_value": "{}"})
        name = f"$$STREAMLIT_INTERNAL_KEY_{self.ids[key]}__events"
        self.widgets[name] = {"json_trigger_value": json.dumps([{"event": event, "value": value}])}
        self._ask(fragment=fragment)
        self.widgets.pop(name)
        return self

    def press(self, key: str, *, fragment: str = "") -> "Visitor":
        """Press a button."""
        self.widgets[self.ids[key]] = {"trigger_value": True}
        self._ask(fragment=fragment)
        self.widgets.pop(self.ids[key], None)
        return self

    def digest(self, key: str) -> str:
        """The digest of the points that a map shows."""
        shown = next(one for kind, one in self.elements if getattr(one, "id", "") == self.ids[key])
        found = re.search(rb'"digest": "(\w+)"', shown.SerializeToString())
        assert found, key
        return found[1].decode()

    @property
    def exceptions(self) -> list[str]:
        """What the page says of errors that nothing caught."""
        return [one.message or one.type for kind, one in self.elements if kind == "exception"]

    @property
    def text(self) -> str:
        """All words of the page, components' data too."""
        return "\n".join(getattr(one, "json", "") or str(one) for _, one in self.elements)

    def _ask(self, *, history: bool = False, fragment: str = "") -> "Visitor":
        message = BackMsg()
        asked = message.rerun_script
        asked.query_string, asked.is_history_navigation = self._query, history
        if self._hash:
            asked.page_script_hash = self._hash
        else:
            asked.page_name = self._page
        asked.fragment_id = fragment
        asked.context_info.timezone, asked.context_info.locale = "UTC", "en"
        asked.context_info.url = f"{self._url}/{self._page}"
        for id_, value in self.widgets.items():
            asked.widget_states.widgets.add(id=id_, **value)
        self._socket.send(message.SerializeToString())
        self.elements = []
        self._hear()
        return self

    def _hear(self) -> None:
        while True:
            found = ForwardMsg.FromString(self._socket.recv(timeout=WAIT, decode=False))
            kind = found.WhichOneof("type")
            if kind == "navigation":
                self._hash = found.navigation.page_script_hash
            elif kind == "page_info_changed":
                self._query = found.page_info_changed.query_string
            elif kind == "delta" and found.delta.WhichOneof("type") == "new_element":
                self._note(found.delta)
            elif kind == "script_finished":
                if found.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                    return
                self.elements = []

    def _note(self, delta: Any) -> None:
        kind = delta.new_element.WhichOneof("type")
        one = getattr(delta.new_element, kind)
        self.elements.append((kind, one))
        id_ = str(getattr(one, "id", ""))
        if not id_.startswith("$$ID-"):
            return
        key = id_.removeprefix("$$ID-").split("-", 1)[1]
        self.ids[key] = id_
        if delta.fragment_id:
            self.fragments[key] = delta.fragment_id
        if kind == "bidi_component" and key == "page":
            self.widgets[id_] = {"json_value": json.dumps({"there": True})}  # as its code tells
