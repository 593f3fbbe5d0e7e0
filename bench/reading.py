"""What reading images costs in memory and time, as collect and encode read them: photographs of 24
million pixels, which the script makes, through CLIP's image processor.

    python bench/reading.py [--count 120] [--batch 32] [--workers N] [--size 6000 4000]

The peak is of the whole process, less what it held before the first image was read.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from transformers import CLIPImageProcessor

from pipeline import config
from pipeline.inputs import readers, reading


def photograph(size: tuple[int, int], *, seed: int) -> Image.Image:
    """Large shapes with a camera's noise: about as large a JPEG as a photograph's."""
    rng = np.random.default_rng(seed)
    shapes = Image.fromarray(rng.integers(0, 255, (24, 36, 3), np.uint8))
    pixels = np.asarray(shapes.resize(size, Image.Resampling.BICUBIC), np.int16)
    noise = rng.integers(-6, 7, (size[1], size[0], 1), np.int16)
    return Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))


def make(folder: Path, *, count: int, size: tuple[int, int]) -> None:
    """`count` files of eight photographs."""
    for number in range(count):
        file = folder / f"{number:04}.jpg"
        if number < 8:
            photograph(size, seed=number).save(file, quality=90)
        else:
            file.write_bytes((folder / f"{number % 8:04}.jpg").read_bytes())


def peak() -> float:
    """The most memory that this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=120)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--size", type=int, nargs=2, default=(6000, 4000))
    asked = parser.parse_args()
    processor = CLIPImageProcessor()

    def prepare(pictures: reading.Pictures) -> object:
        return processor([image for _, image in pictures], return_tensors="pt")["pixel_values"]

    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), count=asked.count, size=tuple(asked.size))
        source = readers.FolderReader(config.Folder(kind="folder", path=Path(folder)))
        wanted = list(source.examples())
        prepare([(wanted[0], Image.new("RGB", (640, 480)))])
        before, start, sizes = peak(), time.monotonic(), []
        read = reading.read(
            source, wanted, prepare, batch=asked.batch, skipped={}, workers=asked.workers
        )
        for pictures, _ in read:
            sizes.append(len(pictures))
            time.sleep(0.2)  # as long as a model takes, so that reading gets ahead of it
        seconds = time.monotonic() - start
    print(
        f"{sum(sizes)} images of {asked.size[0]} x {asked.size[1]} in batches of {max(sizes)}: "
        f"{(peak() - before) / 1024:.2f} GiB at most, {seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
