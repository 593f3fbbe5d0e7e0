"""Takes the pictures in docs/screenshots from a running dashboard.

make dashboard RUN=data/runs/demo &
python docs/screenshots.py [http://localhost:8501]
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

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
    "search": "browse?q=striped+blue+heart&hook=vision.2&hook=vision.3&hook=vision.projection",
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


def main(address: str) -> None:
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        for scheme, suffix in (("light", ""), ("dark", "-dark")):
            page = browser.new_page(
                viewport={"width": 1280, "height": 860}, color_scheme=scheme, device_scale_factor=1
            )
            for name, path in PAGES.items():
                shoot(page, f"{address}/{path}", f"{name}{suffix}")
            page.close()
        browser.close()


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
