"""The process is gone at a commit of the journal, of a checkpoint, of anything: before it, or right after it."""

from itertools import count
from pathlib import Path

import pytest

from tests.faults.broken_sqlite import Crash, DieAtCommit
from tests.faults.counts import EACH, PROPERTY, SOAK, Report
from tests.faults.lab import mark_effect
from tests.faults.lives import go_on, live, whole_life
from tests.faults.scenarios import SCENARIOS, Scenario, long_thread, superseded

LONG = long_thread(mark_effect)
THREADS = [LONG, superseded(mark_effect), *(make(mark_effect) for make in SCENARIOS if SOAK)]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("scenario", THREADS, ids=lambda scenario: scenario.name)
def test_a_crash_at_every_commit_of_a_thread(
    folder: Path, scenario: Scenario, moment: str, record_property: Report
) -> None:
    whole = whole_life(folder / "whole", scenario)
    each = EACH if scenario is LONG else 1
    for commit in count(1, each):  # how many there are depends on what is committed together
        lab = scenario.lab(folder / str(commit), str(commit))
        try:
            live(lab, scenario, DieAtCommit(commit, late=moment == "after"))
            break
        except Crash:
            assert go_on(lab, scenario, whole) == [], f"commit {commit}"
    assert commit > 40 or scenario is not LONG
    record_property(PROPERTY, f"{(commit - 1) // each} crashes, {moment} one of {each} commits of {scenario.name}")
