"""Measure the shipped demo LLaVA, and the language model it grew from, on held-out scenes.

    python bench/demo_llava.py

Everything is said by generate(), greedily and with its cache, through the shipped processor. The
figures are printed, written beside the weights as scores.json, and put into the model cards.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The command works from any folder, whether or not the project is installed.
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
import transformers  # noqa: E402
from PIL import Image  # noqa: E402
from transformers import (  # noqa: E402
    AutoModelForCausalLM,
    AutoProcessor,
    AutoTokenizer,
    LlavaForConditionalGeneration,
)

from pipeline.demo import LANGUAGE_FOLDER, LLAVA_FOLDER  # noqa: E402
from pipeline.demo.scenes import Scene, caption, render, sample  # noqa: E402
from scripts.demo import exam, llava_files, talk  # noqa: E402

# No seed of a training run: those scenes were seen.
SEED = 880_088
PIXELS = 128
SCENES = 1200
EACH = 360
BLANK = Image.new("RGB", (PIXELS, PIXELS), (127, 127, 127))
Say = Callable[[Sequence[Image.Image], Sequence[str]], list[str]]
Table = dict[str, dict[str, float]]


def picture(scene: Scene) -> Image.Image:
    """A scene as a picture of 128 pixels."""
    return Image.fromarray(render(scene, size=PIXELS))


def measure_captions(say: Say, scenes: Sequence[Scene]) -> Table:
    """Captions: of each attribute, over all scenes and by their number of items, and baselines."""
    prompts = [talk.DESCRIBE[k % len(talk.DESCRIBE)] for k in range(len(scenes))]
    pictures = [picture(scene) for scene in scenes]
    said = say(pictures, prompts)
    columns = {"right": exam.captions(scenes, said), "majority": exam.caption_majority(scenes)}
    columns["blank"] = exam.captions(scenes, say([BLANK] * len(scenes), prompts))
    # What the model says of the next picture: as much as it could know without looking.
    columns["another"] = exam.captions([*scenes[1:], scenes[0]], said)
    for number, name in enumerate(("one item", "two", "three"), 1):
        some = [k for k, scene in enumerate(scenes) if len(scene.items) == number]
        columns[name] = exam.captions([scenes[k] for k in some], [said[k] for k in some])
    rows = columns["right"]
    return {row: {c: columns[c][row] for c in columns if row in columns[c]} for row in rows}


def measure_questions(say: Say, *, each: int) -> Table:
    """Questions, `each` of a kind: of the picture, of a blank one and of another scene's."""
    rows = {}
    for kind, asked in exam.questions(seed=SEED + 1, each=each).items():
        prompts = [question.turn.prompt for question in asked]
        pictures = [picture(question.scene) for question in asked]
        rows[kind] = {
            "right": exam.right(asked, say(pictures, prompts)),
            "majority": exam.majority(asked),
            "blank": exam.right(asked, say([BLANK] * len(asked), prompts)),
            "another": exam.right(asked, say([*pictures[1:], pictures[0]], prompts)),
        }
    return rows


def measure_words(say: Say, scenes: Sequence[Scene]) -> Table:
    """Answers in one word: share that is true of the scene."""
    prompts = [talk.ONE_WORD[k % len(talk.ONE_WORD)] for k in range(len(scenes))]
    said = say([picture(scene) for scene in scenes], prompts)
    blank = say([BLANK] * len(scenes), prompts)
    words = sorted({word for scene in scenes for word in talk.true_words(scene)})
    commonest = max(exam.true_words(scenes, [word] * len(scenes)) for word in words)
    return {
        "one word": {
            "right": exam.true_words(scenes, said),
            "majority": commonest,
            "blank": exam.true_words(scenes, blank),
            "another": exam.true_words([*scenes[1:], scenes[0]], said),
        }
    }


def seconds_a_caption(say: Say, number: int = 20) -> float:
    """Seconds from a picture and a prompt to the whole caption, one at a time."""
    pictures = [picture(sample(index, seed=SEED)) for index in range(number + 1)]
    say(pictures[:1], talk.DESCRIBE[:1])
    started = time.perf_counter()
    for each in pictures[1:]:
        say([each], talk.DESCRIBE[:1])
    return (time.perf_counter() - started) / number


def measure_llava(folder: Path, *, scenes: int, each: int) -> dict[str, object]:
    """All figures of a LLaVA's folder."""
    model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(folder)

    def say(pictures: Sequence[Image.Image], prompts: Sequence[str]) -> list[str]:
        return llava_files.answers(model, processor, pictures, prompts)

    chosen = [sample(index, seed=SEED) for index in range(scenes)]
    return {
        "captions": measure_captions(say, chosen),
        "questions": measure_questions(say, each=each) | measure_words(say, chosen),
        "seconds_a_caption": seconds_a_caption(say),
    }


def measure_language(folder: Path, *, scenes: int, each: int) -> dict[str, object]:
    """The language model: what it answers about a caption that it reads in place of a picture."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = {}
    for kind, asked in exam.questions(seed=SEED + 1, each=each).items():
        prompts = [
            llava_files.prompt_of(f"{caption(q.scene)}. {q.turn.prompt}", picture=False)
            for q in asked
        ]
        said = llava_files.continued(model, tokenizer, prompts)
        rows[kind] = {"right": exam.right(asked, said), "majority": exam.majority(asked)}
    return {"questions": rows}


def table(rows: Table, columns: Sequence[str], first: str) -> str:
    """Rows as Markdown."""
    lines = [f"| {first} | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in rows.items():
        cells = [f"{row[c]:.3f}" if c in row else "–" for c in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def card(report: dict[str, Table], scenes: int, each: int) -> str:
    """The figures as the text of a model card."""
    parts = []
    if "captions" in report:
        columns = ("right", "majority", "blank", "another", "one item", "two", "three")
        text = f"Captions of {scenes:,} scenes:\n\n"
        parts.append(text + table(report["captions"], columns, "attribute"))
    columns = tuple(next(iter(report["questions"].values())))
    text = f"Questions, {each} of a kind, every answer equally often:\n\n"
    names = {f"check {kind}": f"yes or no: {kind}" for kind in talk.CHECKED}
    rows = {names.get(kind, kind): row for kind, row in report["questions"].items()}
    parts.append(text + table(rows, columns, "question"))
    return "\n\n".join(parts)


def write(folder: Path, report: dict, text: str) -> None:
    """scores.json, and the text between the card's marks."""
    (folder / "scores.json").write_text(json.dumps(rounded(report), indent=2) + "\n")
    path = folder / "README.md"
    if path.exists():
        marked = re.compile(r"(<!-- scores -->\n).*(<!-- end of scores -->)", re.DOTALL)
        filled = marked.sub(lambda m: f"{m[1]}\n{text}\n\n{m[2]}", path.read_text())
        path.write_text(filled)


def rounded(value: object) -> object:
    """The same figures with four digits after the point."""
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--llava", type=Path, default=LLAVA_FOLDER)
    parser.add_argument("--language", type=Path, default=LANGUAGE_FOLDER)
    parser.add_argument("--scenes", type=int, default=SCENES)
    parser.add_argument("--each", type=int, default=EACH, help="questions of a kind")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    size = {"scenes": options.scenes, "each": options.each}
    made_with = {
        "seed": SEED,
        "pixels": PIXELS,
        **size,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    for folder, measure in ((options.language, measure_language), (options.llava, measure_llava)):
        if not (folder / "model.safetensors").exists():
            print(f"{folder}: no model.safetensors; nothing measured")
            continue
        report = measure(folder, **size)
        text = card(report, **size)
        write(folder, report | {"measured": made_with}, text)
        print(f"{folder}\n\n{text}\n")
        if "seconds_a_caption" in report:
            print(f"{report['seconds_a_caption']:.3f} seconds a caption")


if __name__ == "__main__":
    main()
