"""The demo scenes, whose ground truth is known, and the scripts that trained the demo models."""

from pathlib import Path

DEMO_FOLDER = Path(__file__).resolve().parents[2] / "data" / "demo"
CLIP_FOLDER = DEMO_FOLDER / "clip"
ENCODER_FOLDER = DEMO_FOLDER / "encoder"
LANGUAGE_FOLDER = DEMO_FOLDER / "language"
LLAVA_FOLDER = DEMO_FOLDER / "llava"
