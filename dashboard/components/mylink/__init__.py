"""A button that copies the address of the page, which is an annotator's link of their own."""

from dashboard.components import component

mount = component("mylink")


def my_link() -> None:
    """Show it."""
    mount(key="mylink", data={})
