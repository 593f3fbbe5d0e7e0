"""The embedded demo, as a newcomer gets it: its bundle is sound, it shows what the README says, and
a browser walks through it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest

from pipeline.bundle import opening, verify

if TYPE_CHECKING:
    from conftest import PageLog
    from playwright.sync_api import Page

pytestmark = pytest.mark.timeout(1800)  # the whole run, where others use the cores too
READY = "[data-testid=stApp][data-test-script-state=notRunning]"


@pytest.fixture(scope="module")
def demo(demo_run: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(opening.open_bundle(demo_run).database), read_only=True) as connection:
        yield connection


def test_the_bundle_is_sound(demo_run: Path) -> None:
    assert list(verify.faults(demo_run)) == []


def test_it_is_as_large_as_promised(demo: duckdb.DuckDBPyConnection) -> None:
    assert demo.execute("SELECT count(*) FROM examples").fetchone() >= (8000,)
    layers = demo.execute(
        "SELECT hook, list_sort(list(basis)) FROM dictionaries GROUP BY hook"
    ).fetchall()
    assert sum(hook.endswith("resid_post") for hook, _ in layers) >= 3
    assert "vision.projection" in {hook for hook, _ in layers}
    for hook, bases in layers:
        assert {"sae", "neurons"} <= set(bases), hook


def test_sae_features_are_more_monosemantic_than_neurons_and_controls(
    demo: duckdb.DuckDBPyConnection,
) -> None:
    rows = demo.execute(
        "SELECT d.hook, d.name, avg(m.ms), avg(m.control_neuron), avg(m.control_direction), "
        "  (SELECT avg(f.ms) FROM features f JOIN dictionaries n USING (dictionary_id) "
        "   WHERE n.basis = 'neurons' AND n.hook = d.hook) "
        "FROM dictionaries d JOIN monosemanticity m USING (dictionary_id) "
        "WHERE d.basis = 'sae' AND m.encoder = d.default_encoder AND m.ms IS NOT NULL "
        "GROUP BY ALL"
    ).fetchall()
    assert len(rows) == 9
    for hook, name, ms, sparse_neuron, sparse_direction, neurons in rows:
        assert ms > max(neurons, sparse_neuron, sparse_direction), (hook, name)


@pytest.mark.browser
def test_a_newcomer_walks_from_overview_to_a_feature_and_back(
    demo_run: Path, dashboard_server: Callable[..., str], page: "Page", page_log: "PageLog"
) -> None:
    address = dashboard_server(demo_run)
    page.goto(address)
    page.get_by_role("link", name="Browse", exact=True).first.click()
    page.wait_for_url("**/browse**")
    page.wait_for_selector(READY)
    page.locator("a.card").first.click()
    page.wait_for_url("**/feature**")
    page.locator(".tile").first.wait_for()
    deep = page.url
    page.go_back()
    page.wait_for_url("**/browse**")
    page.locator("a.card").first.wait_for()
    page.goto(deep)
    page.locator(".tile").first.wait_for()
    assert page_log.outside == []
    assert page_log.errors == []
