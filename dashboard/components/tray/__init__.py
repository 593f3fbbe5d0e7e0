"""The tray: the features that the visitor has chosen on any page, and where to take them."""

from collections.abc import Sequence

from dashboard.components import component

mount = component("tray")


def tray(ways: Sequence[tuple[str, str, int]], *, run: str) -> None:
    """A bar at the foot of the page while something is chosen.

    The choice lives in the browser's tab, so that choosing costs no round trip and lasts from page
    to page; `run` names the bundle that it belongs to.

    Args:
        ways: (title, page, at most so many) of each page that takes features, by its address's
            parameter `features` (see `state.asked_features`).
        run: a choice made in another run is let go.
    """
    places = [{"title": title, "page": page, "most": most} for title, page, most in ways]
    mount(key="tray", data={"ways": places, "run": run})
