"""The form of Steering: an image, a prompt, features with their strengths, how they are edited."""

import html
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import address, gate, queries
from dashboard.bundle.opening import Run
from dashboard.components.strips import strips
from dashboard.images import finder, patches
from dashboard.live import images
from dashboard.records.dictionaries import Dictionary
from dashboard.records.features import Card, Key
from dashboard.steering import direction_chooser, hints, request
from dashboard.steering.request import Asked
from dashboard.style import markdown
from dashboard.style.numbers import number
from dashboard.views.steering.offers import Offers

LEAST, MOST, STEP = -10.0, 20.0, 0.25
"""Of a slider; a link may name strengths beyond."""


@dataclass
class Form:
    """What is drawn, and what the visitor asked for with it.

    Attributes:
        asked: from the address; `draw` settles which image.
        here: the dictionaries whose features can be steered.
        cards: of the chosen features.
        picture: what the model is to look at.
        concept: what the prompt-only baseline asks for; empty for none.
        warned: warnings that stand on the page.
        foot, buttons: the row below, and the places in it of what runs.
    """

    run: Run
    here: Sequence[Dictionary]
    every: Sequence[Dictionary]
    asked: Asked
    cards: dict[Key, Card] = field(default_factory=dict)
    picture: images.Look | None = None
    concept: str = ""
    warned: set[str] = field(default_factory=set)
    foot: DeltaGenerator = field(init=False)
    buttons: tuple[DeltaGenerator, DeltaGenerator] = field(init=False)

    def __post_init__(self) -> None:
        found = queries.cards_at(self.run.connection, self.asked.features, examples=16)
        self.cards = {(card.dictionary_id, card.feature_id): card for card in found}
        self.by_id = {one.dictionary_id: one for one in self.here}

    @property
    def offers(self) -> Offers:
        """Features to add."""
        return Offers(self.run, self.here, self.every, self.asked)

    @property
    def seen(self) -> str:
        """The key of the picture; empty without one."""
        look = self.picture
        return look.picture.key if look and look.picture else ""

    @property
    def names(self) -> list[str]:
        """The chosen features, each as `red (vision.2 / sight #9)`."""
        return [self.name(key) for key in self.asked.features]

    def name(self, key: Key) -> str:
        card, where = self.cards.get(key), self.by_id[key[0]].short
        label = card.label if card and card.label else "no label"
        return f"{label} ({where} #{key[1]})"

    def draw(self) -> None:
        """All choices, from the picture to the edits."""
        with st.container(key="steer-setting"):
            left, right = st.columns([1, 4.2], gap="medium")
            with left:
                self._picture()
            with right:
                self._prompt()
                for place, key in enumerate(self.asked.features):
                    self._feature(place, key)
                self._more_features()
                self._how()
                self.foot = st.container(
                    horizontal=True, vertical_alignment="center", gap="small", key="steer-go"
                )
                with self.foot:
                    self.buttons = st.empty(), st.empty()
                    with st.popover("More"):
                        self._rest()

    def _picture(self) -> None:
        shown = st.empty()
        with st.popover("Another image", width="stretch"):
            found = finder.bar(self.run, most=1, folded=False)
            current = self.asked.example
            if current is None and not self.asked.blank and not found.own and found.examples:
                current = found.examples[0].example_id
            self.asked = replace(self.asked, example=None if found.own else current)

            def to(one: int | None, _: int | None) -> str:
                wanted = replace(self.asked, example=one, blank=False)
                return _address(wanted, find=found.text, seed=str(found.seed or ""))

            thumbs = patches.thumbs(
                self.run, found.examples, current=current, to=to, own=len(found.own), pairs=False
            )
            strips([{"name": found.name, "images": thumbs, "wide": True}], key="steer-found")
            st.button(
                "A blank picture", help=hints.BLANK, on_click=gate.allowed(request.put),
                args=("example", request.BLANK),
            )  # fmt: skip
        if found.own:
            self.picture = found.own[0]
            self.asked = replace(self.asked, blank=False)
        elif self.asked.blank:
            self.picture = images.blank()
        elif current is not None:
            self.picture = finder.of_run(self.run, current)
        with shown:
            _look(self.picture)

    def _prompt(self) -> None:
        st.text_area(
            "Prompt", height=68, max_chars=request.MOST_LETTERS,
            **request.bound("prompt", self.asked.prompt, usual=request.PROMPT),
        )  # fmt: skip

    def _feature(self, place: int, key: Key) -> None:
        """One chosen feature: what it is, how strong, and the way out."""
        card, at = self.cards.get(key), self.asked.at[place]
        mode, unit = self.asked.mode, request.unit(card)
        name = f"strength-{address.feature_key(*key)}"
        with st.container(
            horizontal=True, vertical_alignment="center", gap="small", key=f"steer-feature-{place}"
        ):
            with st.container(width=248):
                self._thumb(key, card)
            if mode == "ablate":
                st.caption("its activation becomes 0", width="stretch")
            else:
                st.slider(
                    markdown.plain(f"Strength of {self.name(key)}"), min(LEAST, at), max(MOST, at),
                    step=STEP, label_visibility="collapsed",
                    on_change=gate.allowed(self._strengthen),
                    args=(place, name), format="%g ×", width="stretch",
                    help=hints.FACTOR if mode == "scale" else hints.STRENGTH,
                    **address.showing(name, at),
                )  # fmt: skip
                told = "" if mode == "scale" else f"{number(at * unit)} (max {number(unit)})"
                about = "its activation, and the largest over the val images"
                st.html(f'<p class="strength" title="{about}">{told}</p>', width=136)
            st.button(
                "✕", key=f"out-{name}", help="Take this feature out",
                on_click=gate.allowed(self._take_out), args=(place,),
            )  # fmt: skip

    def _thumb(self, key: Key, card: Card | None) -> None:
        where, href = self.by_id[key[0]].short, html.escape(address.to_feature(*key))
        sheet = self.run.contact([card], tiles=(4, 1), tile=48)[0] if card else ""
        label = card.label if card and card.label else "no label"
        st.html(
            f'<a class="steered-feature" href="{href}" target="_self" title="Open this feature">'
            f'<img src="{sheet}" alt=""><span><b>{html.escape(label)}</b>'
            f"<i>{html.escape(where)} #{key[1]}</i></span></a>"
        )

    def _strengthen(self, place: int, name: str) -> None:
        at = [*self.asked.at]
        at[place] = float(st.session_state[name])
        request.put("at", request.strengths(at))

    def _take_out(self, place: int) -> None:
        kept = [i for i in range(len(self.asked.features)) if i != place]
        keys = [address.feature_key(*self.asked.features[i]) for i in kept]
        request.put("features", address.BETWEEN.join(keys) or None)
        request.put("at", request.strengths([self.asked.at[i] for i in kept]) or None)

    def _more_features(self) -> None:
        with st.container(horizontal=True, gap="small", key="steer-add"):
            full = len(self.asked.features) >= request.MOST_FEATURES
            with st.popover("Add a feature", disabled=full, key="steer-search"):
                self.offers.search()
            with st.popover("From a list", disabled=full):
                self.offers.from_list()
            self._along()

    def _along(self) -> None:
        hooks = list(dict.fromkeys(one.hook for one in self.here))
        found = direction_chooser.chooser(self.run, self.asked.model, hooks, warned=self.warned)
        self.asked = replace(self.asked, along=direction_chooser.as_text(found) if found else "")

    def _how(self) -> None:
        """Mode, scope, form, and what is seldom changed."""
        asked, usual = self.asked, Asked()
        with st.container(
            horizontal=True, vertical_alignment="bottom", gap="medium", key="steer-how"
        ):
            for name, known, title, about in (
                ("mode", request.MODES, "Mode", hints.MODE),
                ("scope", request.SCOPES, "Tokens", hints.SCOPE),
                ("form", request.FORMS, "What else is there", hints.FORM),
            ):
                st.segmented_control(
                    title, list(known), format_func=known.__getitem__, required=True, help=about,
                    **request.bound(
                        name, getattr(asked, name), usual=getattr(usual, name), given="default"
                    ),
                )  # fmt: skip

    def _rest(self) -> None:
        asked, usual = self.asked, Asked()
        first = self.cards.get(asked.features[0]) if asked.features else None
        label = (first.label if first else None) or ""
        self.concept = label if asked.concept is None else asked.concept
        st.text_input(
            "Ask in words for", max_chars=200, help=hints.CONCEPT, placeholder="nothing",
            **request.bound("concept", self.concept, usual=label),
        )  # fmt: skip
        st.number_input(
            "Longest answer", 1, 256, help=hints.LONGEST,
            **request.bound("longest", asked.longest, usual=usual.longest),
        )  # fmt: skip
        st.number_input(
            "Temperature", 0.0, 2.0, step=0.1, help=hints.TEMPERATURE,
            **request.bound("temperature", asked.temperature, usual=usual.temperature),
        )  # fmt: skip
        st.number_input(
            "Seed", 0, 2**31 - 1, help=hints.SEED,
            **request.bound("random", asked.random, usual=usual.random),
        )  # fmt: skip


def _address(asked: Asked, **finding_too: str) -> str:
    kept = asked.parameters | {name: text for name, text in finding_too.items() if text}
    return address.to_steering(asked.features, **kept)


def _look(look: images.Look | None) -> None:
    if look is None or look.picture is None:
        st.html('<div class="steered-image none">no image</div>')
        return
    small = patches.shown(look.picture.image)
    name = html.escape(f"{look.name}. {look.note}" if look.note else look.name)
    st.html(f'<img class="steered-image" src="{small}" alt="{name}" title="{name}">')
