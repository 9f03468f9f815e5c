"""kill -9 at random moments, over and over: the thread goes on, nothing happens twice, nothing is lost."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.counts import PROCESSES, PROPERTY, SEED, Report

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("half", ["a", "b"])
def test_killed_at_random_moments_over_eight_scenarios(folder: Path, half: str, record_property: Report) -> None:
    kills = PROCESSES // 2
    parent = subprocess.run(
        [sys.executable, "-m", "tests.faults.kills", str(folder), f"{SEED}{half}", str(kills)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert parent.returncode == 0, parent.stderr
    trials = [json.loads(line) for line in parent.stdout.splitlines()]
    assert [trial for trial in trials if trial["broken"]] == []
    killed = Counter({trial["scenario"]: 0 for trial in trials})
    for trial in trials:
        killed[trial["scenario"]] += len(trial["kills"])
    assert killed.total() >= kills
    assert (len(killed), min(killed.values()) > 0) == (8, True)
    spread = ", ".join(f"{name} {number}" for name, number in sorted(killed.items()))
    record_property(PROPERTY, f"{killed.total()} processes killed by SIGKILL (seed {SEED}{half}): {spread}")
