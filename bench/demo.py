"""How long the demo's pipeline takes from the shipped weights, and how much memory.

    python bench/demo.py

Runs `pipeline/configs/demo.toml` into a fresh folder, then once more to see that nothing is made
twice. Prints wall seconds, processor seconds and the peak of memory of each.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFIG = Path(__file__).parents[1] / "pipeline" / "configs" / "demo.toml"


def main() -> None:
    print(f"{os.cpu_count()} cores")
    print("| run | wall s | processor s | peak memory GiB |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("fresh", "again"):
            print(f"| {name} | {measure(Path(folder))} |")


def measure(folder: Path) -> str:
    """One run: its wall seconds, processor seconds and peak memory, as cells of a table."""
    command = [sys.executable, "-m", "pipeline", "run", str(CONFIG), "--out", str(folder)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    subprocess.run(command, check=True)
    wall = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    return f"{wall:.1f} | {processor:.1f} | {after.ru_maxrss * unit / 2**30:.2f}"


if __name__ == "__main__":
    main()
