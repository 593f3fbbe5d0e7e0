"""What a map of many features costs in a real browser.

    python bench/map.py                             Chromium without a display, 16,384 to 262,144
    python bench/map.py --sizes 262144 --gpu        with the machine's graphics device
    python bench/map.py --plain                     drawn pixel by pixel, as where WebGL is missing

A page with one map and nothing else is served by Streamlit. `sent` is what the first page took over
its WebSocket; `again` what a run with the same points and colours takes, `recoloured` one with
other colours. `first paint` is from the start of the navigation until the points are drawn (the
waiting for that in steps of a frame, and the device's own work, included), `drawn in` from their
arrival in the component to there. Frames are those of a drag of two seconds
with the mouse, by the time between animation frames; while frames are slow the map shows every n-th
point until it rests (`shown`).
"""

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
NAMES = ("chromium", "chromium-browser", "google-chrome")
SCRIPT = """
import numpy as np
import streamlit as st
from dashboard.components.map import Panel, map_view, ramp

st.set_page_config(layout="wide")
rows = int(st.query_params["n"])

@st.cache_data
def points(rows):
    random = np.random.default_rng(0)
    islands = random.uniform(-10, 10, (80, 2))
    home = random.integers(0, 80, rows)
    xy = islands[home] + random.normal(size=(rows, 2)) * random.gamma(4, 0.2, 80)[home, None]
    return xy.astype("float32").T.copy(), random.random((2, rows), "float32")

(x, y), values = points(rows)
st.button("again")
other = st.toggle("other")
panel = Panel("a dictionary", ("a",), x, y)
colours = ramp([values[int(other)]], title="MS")
map_view([panel], colours, describe=lambda d, f: {"lines": []}, key="bench")
"""
FRAMES = """() => {
  window.frames_ = [];
  let last = performance.now();
  (function next(now) {
    window.frames_.push(now - last);
    last = now;
    window.raf_ = requestAnimationFrame(next);
  })(last);
}"""
# Reading a pixel back waits until the graphics device has drawn all that it was told to.
DRAWN = """(canvas) => {
  const gl = canvas.getContext("webgl2");
  if (gl) gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
  return [performance.getEntriesByName("loupe-map-data")[0].startTime, performance.now()];
}"""
PAINTED = "performance.getEntriesByName('loupe-map-painted').length > 0"


def drag(page: Any, seconds: float) -> tuple[list[float], str]:
    """Milliseconds between frames while the map is dragged, and which share it shows."""
    box = page.locator(".plane").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 8, y)
    page.evaluate(FRAMES)
    end, turn = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        turn += 1
        page.mouse.move(x + 120 * ((turn % 20) / 10 - 1), y + 60 * ((turn % 14) / 7 - 1))
        time.sleep(0.012)
    every = page.locator(".stage").get_attribute("data-every")
    frames = page.evaluate("() => { cancelAnimationFrame(window.raf_); return window.frames_; }")
    page.mouse.up()
    return sorted(frames[2:]), every


def one(browser: Any, url: str, rows: int, ratio: float) -> list[str]:
    context = browser.new_context(
        viewport={"width": 1440, "height": 900}, device_scale_factor=ratio
    )
    page = context.new_page()
    got = [0]

    def count(frame: bytes | str) -> None:
        got[0] += len(frame)

    page.on("websocket", lambda socket: socket.on("framereceived", count))
    page.goto(f"{url}/?n={rows}")  # Streamlit's own code, and the points in its cache
    page.wait_for_function(PAINTED)
    page.wait_for_timeout(1500)
    first, arrived, sent = [], [], 0
    for _ in range(3):
        got[0] = 0
        page.goto("about:blank")
        page.goto(f"{url}/?n={rows}", wait_until="commit")
        page.wait_for_function(PAINTED)
        marks = page.locator("canvas.points").evaluate(DRAWN)
        first.append(marks[1])
        arrived.append(marks[1] - marks[0])
        sent = got[0]
    page.wait_for_timeout(1000)
    extra = []
    for press in (
        lambda: page.get_by_role("button", name="again").click(),
        lambda: page.get_by_text("other", exact=True).click(),
    ):
        got[0] = 0
        press()
        page.wait_for_timeout(2000)
        extra.append(got[0])
    painter = page.evaluate(
        "() => performance.getEntriesByName('loupe-map-painted')[0].detail.painter"
    )
    drag(page, 1.0)  # until the share of points that keeps up is found
    frames, every = drag(page, 2.0)
    context.close()
    middle = statistics.median(frames)
    slow = frames[int(len(frames) * 0.95)]
    return [
        f"{rows:,}", f"{ratio:g}", painter, f"{sent / 1e6:.2f}", f"{extra[0] / 1e3:.0f}",
        f"{extra[1] / 1e6:.2f}", f"{statistics.median(first) / 1e3:.2f}",
        f"{statistics.median(arrived):.0f}", f"{1000 * len(frames) / sum(frames):.0f}",
        f"{middle:.0f} / {slow:.0f}", f"1 in {every}",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[16384, 65536, 262144])
    parser.add_argument("--ratios", type=float, nargs="+", default=[1.0, 2.0])
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--plain", action="store_true", help="without WebGL")
    options = parser.parse_args()
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        parser.exit(1, f"no browser: none of {', '.join(NAMES)} is installed\n")
    from playwright.sync_api import sync_playwright

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "app.py"
        script.write_text(SCRIPT)
        server = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port)],
            cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            time.sleep(4)
            print(
                "| points | dpr | painter | sent MB | again kB | recoloured MB | first paint s "
                "| drawn in ms | frames/s | frame p50 / p95 ms | shown |"
            )
            print("|" + "---|" * 11)
            with sync_playwright() as playwright:
                args = ["--no-sandbox"] + ([] if options.gpu else ["--disable-gpu"])
                args += ["--disable-3d-apis"] if options.plain else []
                browser = playwright.chromium.launch(executable_path=executable, args=args)
                for rows in options.sizes:
                    for ratio in options.ratios:
                        cells = one(browser, f"http://localhost:{port}", rows, ratio)
                        print("| " + " | ".join(cells) + " |", flush=True)
                browser.close()
        finally:
            server.kill()


if __name__ == "__main__":
    main()
