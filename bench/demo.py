"""How long the demo's pipeline takes from the shipped weights, and how much memory.

    python bench/demo.py

Runs what `make demo-data` runs, `demo.toml` and `demo-llava.toml` of `pipeline/configs`, into fresh
folders, then once more to see that nothing is made twice. Prints wall and processor seconds and
the peak of memory of each.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFIGS = Path(__file__).parents[1] / "pipeline" / "configs"


def main() -> None:
    print(f"{os.cpu_count()} cores")
    print("| config | run | wall s | processor s | peak memory GiB |")
    print("|---|---|---|---|---|")
    for name in ("demo", "demo-llava"):
        with tempfile.TemporaryDirectory() as folder:
            for run in ("fresh", "again"):
                print(f"| {name} | {run} | {measure(CONFIGS / f'{name}.toml', Path(folder))} |")


def measure(config: Path, folder: Path) -> str:
    """One run: its wall seconds, processor seconds and peak memory, as cells of a table."""
    command = [sys.executable, "-m", "pipeline", "run", str(config), "--out", str(folder)]
    before = _used()
    began = time.monotonic()
    with subprocess.Popen(command) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - began
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    peak = usage.ru_maxrss * unit / 2**30
    return f"{wall:.1f} | {_used() - before:.1f} | {peak:.2f}"


def _used() -> float:
    """Processor seconds of all processes that have ended."""
    all_of_them = resource.getrusage(resource.RUSAGE_CHILDREN)
    return all_of_them.ru_utime + all_of_them.ru_stime


if __name__ == "__main__":
    main()
