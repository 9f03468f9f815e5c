"""kill -9 while a run is launched and goes on: it starts once, it is found again, the thread is woken once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.counts import PROCESSES, PROPERTY, SEED, Report

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("half", ["a", "b"])
def test_killed_while_runs_are_launched_and_go_on(folder: Path, half: str, record_property: Report) -> None:
    kills = PROCESSES // 2
    parent = subprocess.run(
        [sys.executable, "-m", "tests.faults.run_kills", str(folder), f"{SEED}{half}", str(kills)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert parent.returncode == 0, parent.stderr
    trials = [json.loads(line) for line in parent.stdout.splitlines()]
    assert [trial for trial in trials if trial["broken"]] == []
    killed = sum(trial["kills"] for trial in trials)
    record_property(PROPERTY, f"{killed} processes with a run killed by SIGKILL (seed {SEED}{half})")
