"""kill -9 while a run is launched and goes on: it starts once, it is found again, the thread is woken once."""

from pathlib import Path

import pytest

from tests.faults.counts import FEWER, PROPERTY, SEED, Report
from tests.faults.trials import half_of_the_trials


@pytest.mark.timeout(235)
@pytest.mark.parametrize("half", ["a", "b"])
def test_killed_while_runs_are_launched_and_go_on(folder: Path, half: str, record_property: Report) -> None:
    trials = half_of_the_trials("tests.faults.run_kills", folder, half, processes=FEWER)
    killed = sum(trial["kills"] for trial in trials)
    record_property(PROPERTY, f"{killed} processes with a run killed by SIGKILL (seed {SEED}{half})")
