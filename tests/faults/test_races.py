"""Two processes on one thread: exactly one runs it, the other one is told so, and the tools run once."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.faults.counts import FEWER, PROPERTY, SEED, Report

ROOT = Path(__file__).parents[2]


def test_one_of_two_processes_gets_the_thread(folder: Path, record_property: Report) -> None:
    parent = subprocess.run(
        [sys.executable, "-m", "tests.faults.races", str(folder), SEED, str(FEWER)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert parent.returncode == 0, parent.stderr
    races = [json.loads(line) for line in parent.stdout.splitlines()]
    assert [race for race in races if race["broken"]] == []
    assert len(races) == FEWER
    kinds = ", ".join(f"{kind} {number}" for kind, number in sorted(Counter(r["kind"] for r in races).items()))
    record_property(PROPERTY, f"{len(races)} races of two processes (seed {SEED}), for a thread that is at: {kinds}")
