"""Kill -9 at any moment of a turn with an approval and four calls: nothing runs twice, nothing is lost."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.graph.crash import MESSAGE

ROOT = Path(__file__).parents[2]
STRIDE = int(os.environ.get("ML_INTERN_KILL_STRIDE", "17"))
"""Every so many statements there is a kill; `make soak` kills at each."""


@pytest.mark.parametrize("first", [1, 2])
def test_killed_at_every_statement_and_resumed(tmp_path: Path, first: int, record_property: Any) -> None:
    parent = subprocess.run(
        [sys.executable, "-m", "tests.graph.crash", str(tmp_path), str(first), str(STRIDE)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300 * 17 / STRIDE,
        check=False,
    )
    assert parent.returncode == 0, parent.stderr
    trials = [json.loads(line) for line in parent.stdout.splitlines()]
    for trial in trials:
        check(trial)
    assert sum(trial["killed"] for trial in trials) >= 10
    record_property("kills", sum(trial["killed"] for trial in trials))


def check(trial: dict[str, Any]) -> None:
    assert "error" not in trial, trial
    assert trial["messages"] == [MESSAGE], trial
    assert not (trial["acknowledged"] and trial["asked_again"]), trial
    assert trial["last"] == "counted", trial
    assert trial["calls"] == trial["results"], trial
    assert trial["open"] == 0, trial
    effects = Counter(trial["log"])
    assert max(effects.values()) == 1, trial
    unsure = [text for text in trial["texts"] if "may have run in part" in text]
    assert len(effects) + len(unsure) >= 4, trial
