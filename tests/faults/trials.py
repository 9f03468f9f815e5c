"""Trials in processes that are killed: a warm parent forks them and prints a JSON line for each."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.faults.counts import PROCESSES, SEED

ROOT = Path(__file__).parents[2]


def outcomes(module: str, *words: object) -> list[dict[str, Any]]:
    """What `module` printed of each of its trials, run with these words as a process that ends well.

    The errors of children that it forked come out with this test's own.
    """
    parent = subprocess.run(
        [sys.executable, "-m", module, *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    sys.stderr.write(parent.stderr)
    assert parent.returncode == 0, parent.stderr
    return [json.loads(line) for line in parent.stdout.splitlines()]


def half_of_the_trials(
    module: str, folder: Path, half: str, *more: object, processes: int = PROCESSES
) -> list[dict[str, Any]]:
    """What came of half of the trials of `module`; none of them found anything broken."""
    trials = outcomes(module, folder, f"{SEED}{half}", processes // 2, *more)
    broken = [trial for trial in trials if trial["broken"]]
    assert not broken, broken
    return trials
