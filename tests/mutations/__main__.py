"""`python -m mutations [NAME …]`: plant each fault in a copy of the tree and see its test turn red.

Exits 1 when a test stays green, or does not pass without the fault; 2 when the code that a fault is
planted in has changed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from mutations.fault import Fault, Gone
from mutations.table import FAULTS

ROOT = Path(__file__).parents[2]
COPIED = ("controller", "plugins", "tests", "manifests", "charts", "pyproject.toml")
LONGEST = 180
"""Seconds for a test: many a fault has it wait for ever, and that is noticed, too."""
FAILED = 1
"""What pytest ends with when a test ran and failed; a file that cannot be read is no proof."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m mutations", description=__doc__)
    parser.add_argument("names", nargs="*", help="faults to plant; all when none is named")
    parser.add_argument("--list", action="store_true", help="say which faults there are")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    unknown = set(chosen.names) - {fault.name for fault in FAULTS}
    if unknown:
        parser.error(f"no such fault: {', '.join(sorted(unknown))}; --list says which there are")
    faults = [f for f in FAULTS if not chosen.names or f.name in chosen.names]
    if chosen.list:
        print("\n".join(f"{fault.name:34} {fault.file}" for fault in faults))
        return 0
    gone = [told for told in map(missing, faults) if told]
    if gone:
        sys.stderr.write("\n".join([*gone, ""]))
        return 2
    return judged(faults, max(1, chosen.jobs))


def missing(fault: Fault) -> str:
    try:
        fault.planted_in((ROOT / fault.file).read_text())
    except Gone as error:
        return str(error)
    return ""


def judged(faults: Sequence[Fault], jobs: int) -> int:
    with tempfile.TemporaryDirectory(prefix="steersman-mutations-") as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(jobs):
            copies.put(copy_of(Path(folder, str(number))))
        with ThreadPoolExecutor(jobs) as pool:
            sound = pool.submit(is_sound, copies, faults)
            noticed = list(pool.map(Planter(copies), faults))
    survived = [fault for fault, is_red in zip(faults, noticed, strict=True) if not is_red]
    for fault in survived:
        print(f"SURVIVED {fault.name}: {fault.test} passes with it")
    print(f"{len(faults) - len(survived)} of {len(faults)} planted faults were noticed")
    return 1 if survived or not sound.result() else 0


def copy_of(to: Path) -> Path:
    for name in COPIED:
        if (ROOT / name).is_dir():
            skipped = shutil.ignore_patterns("__pycache__", ".hypothesis")
            shutil.copytree(ROOT / name, to / name, symlinks=True, ignore=skipped)
        elif (ROOT / name).exists():
            to.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, to / name)
    return to


def is_sound(copies: SimpleQueue[Path], faults: Sequence[Fault]) -> bool:
    """Whether all tests pass while nothing is planted."""
    copy = copies.get()
    try:
        ended = pytest(copy, sorted({fault.test for fault in faults}))
    finally:
        copies.put(copy)
    if ended.returncode != 0:
        print(f"without any fault:\n{ended.stdout[-4000:]}")
    return ended.returncode == 0


class Planter:
    """Plants a fault in whichever copy is free, and says whether its test turned red."""

    def __init__(self, copies: SimpleQueue[Path]) -> None:
        self._copies = copies

    def __call__(self, fault: Fault) -> bool:
        copy = self._copies.get()
        began = time.monotonic()
        was = fault.plant(copy)
        try:
            ended = pytest(copy, [fault.test])
        finally:
            (copy / fault.file).write_text(was)
            self._copies.put(copy)
        is_red = ended.returncode == FAILED
        told = "red" if is_red else f"pytest ended with {ended.returncode}"
        print(f"{fault.name:34} {told:>8} {time.monotonic() - began:5.1f} s", flush=True)
        if ended.returncode not in (0, FAILED):
            print(ended.stdout[-2000:])
        return is_red


def pytest(copy: Path, tests: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run tests of the copy with the copy's code, before any that is installed."""
    paths = [str(copy / name) for name in ("controller", "plugins", "tests")]
    # A fault that changes no length, in the same second: old bytecode would hide it.
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
    asked = [sys.executable, "-m", "pytest", "-x", "-q", "-n0", "-p", "no:cacheprovider"]
    asked.append(f"--timeout={LONGEST}")
    return subprocess.run(
        [*asked, *tests], cwd=copy, env=env, capture_output=True, text=True, check=False
    )


if __name__ == "__main__":
    sys.exit(main())
