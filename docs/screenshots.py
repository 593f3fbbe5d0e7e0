"""Takes the pictures in docs/screenshots from a running dashboard.

export LOUPE_ANNOTATIONS=$(mktemp -d)/pictures.sqlite
make dashboard RUN=data/runs/demo &
python docs/screenshots.py [http://localhost:8501]

The votes on the picture of Results are made up, by simulated people who mostly follow the score.
"""

import shutil
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from pipeline.annotations import Annotations, default_place
from pipeline.annotations.trials import GivenAnswer
from pipeline.study.creation import create
from pipeline.study.files import Study

FOLDER = Path(__file__).parent / "screenshots"
FEATURE = "feature?dictionary=demo-clip/vision.3.resid_post/matryoshka&feature=29"
SEVERAL = "compare?features=demo-clip/vision.2.resid_post/matryoshka:46,51,69"
LLAVA = "demo-llava"
CAPTIONED = "demo-llava/language.0.resid_post/words&feature=140"
STEERED = "demo-llava/language.0.resid_post/words:292"
TURNED = "demo-clip/vision.3.resid_post/batchtopk:23&at=1"
PAGES = {
    "overview": "",
    "browse": "browse",
    "table": "browse?view=table&hook=vision.2&hook=vision.3",
    "search": "browse?q=striped+blue+star&hook=vision.2&hook=vision.3&hook=vision.projection",
    "map": "map",
    "modalities": f"modalities?run={LLAVA}",
    "modality-layers": f"modalities?run={LLAVA}&look=Layers",
    "reconstruction": f"modalities?run={LLAVA}&look=Reconstruction",
    "captions": f"feature?run={LLAVA}&dictionary={CAPTIONED}",
    "steering": f"steering?run={LLAVA}&features={STEERED}",
    "steering-scores": f"steering?run={LLAVA}&look=Scores",
    "steering-contrast": f"steering?features={TURNED}",
    "compare": "compare",
    "side-by-side": SEVERAL,
    "feature": FEATURE,
    "image": "image",
    "flow": "compare?look=Flow",
    "lists": "lists?features=demo-clip/vision.2.resid_post/matryoshka:46,51,69",
}
PRESSED = {"steering": ".st-key-steer-run button"}
"""What is pressed before the picture is taken."""
READY = "[data-testid=stApp][data-test-script-state=notRunning]"


STUDY = {
    "name": "simulated",
    "title": "Which images belong together? (simulated votes)",
    "bundle": Path("data/runs/demo"),
    "practice": 0,
    "rest_every": 0,
    "votes": 6,
    "draw": {"count": 120, "features": 40},
}
PEOPLE, VOTES = 12, 5
"""Who judged, and how many each pair so far."""


def main(address: str) -> None:
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        take(browser, address, PAGES)
        owner, invited = simulated(Annotations(default_place()))  # closes the other pages
        take(browser, address, {"annotate": f"annotate?invite={invited}"})
        take(browser, address, {"results": f"results?study={STUDY['name']}&owner={owner}"})
        browser.close()


def take(browser: Browser, address: str, pages: Mapping[str, str]) -> None:
    """Keep the pictures of these pages, light and dark, as one visitor."""
    for scheme, suffix in (("light", ""), ("dark", "-dark")):
        page = browser.new_page(
            viewport={"width": 1280, "height": 860}, color_scheme=scheme, device_scale_factor=1
        )
        for name, path in pages.items():
            shoot(page, f"{address}/{path}", f"{name}{suffix}")
        page.close()


def simulated(store: Annotations) -> tuple[str, str]:
    """A study in which simulated people judged; the owner's token and an annotator's."""
    study = Study.model_validate(STUDY)
    content = create(study)
    owner = store.create_study(study.name, content.model_dump_json(), content.wanted)
    rng = np.random.default_rng(0)
    begun = datetime.now(UTC) - timedelta(days=6)
    given: dict[str, list[GivenAnswer]] = {f"person {n}": [] for n in range(PEOPLE)}
    for item in content.items:
        places = [side.feature for side in item.sides]
        scores = [0.0 if at is None else content.features[at].scores["ms"] or 0.0 for at in places]
        everybody = item.role == "catch"
        for who in rng.choice(PEOPLE, PEOPLE if everybody else VOTES, replace=False):
            chance = 0.97 if everybody else 1 / (1 + np.exp(-9 * (scores[0] - scores[1])))
            said = (
                "tie" if rng.random() < 0.08 and not everybody else "xy"[int(rng.random() > chance)]
            )
            own = given[f"person {who}"]
            when = begun + timedelta(hours=9 * float(who)) + timedelta(seconds=7 * len(own))
            own.append(GivenAnswer(item.item, said, item.role, False, int(rng.gamma(4, 900)), when))
    store.add_votes(study.name, given)
    invited = store.invite(study.name)
    store.consent(study.name, store.annotator_of(invited).annotator)
    return owner, invited


def shoot(page: Page, url: str, name: str) -> None:
    """Open `url`, wait until it is drawn, and keep the picture."""
    page.goto(url)
    for _ in range(2):  # a session's first run only asks whether the style is there
        page.wait_for_selector(READY)
        page.wait_for_timeout(2500)  # pictures decode and charts draw after the script has ended
    if name.removesuffix("-dark") in PRESSED:
        page.locator(PRESSED[name.removesuffix("-dark")]).click()
        page.wait_for_selector(".answers .tok", timeout=120_000)
        page.mouse.move(0, 0)
        page.wait_for_timeout(2500)
    page.screenshot(path=FOLDER / f"{name}.png")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8501")
