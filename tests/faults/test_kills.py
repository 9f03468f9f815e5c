"""kill -9 at random moments, over and over: the thread goes on, nothing happens twice, nothing is lost."""

from collections import Counter
from pathlib import Path

import pytest

from tests.fakes.postgres import PostgresServer
from tests.faults.counts import FEWER, PROCESSES, PROPERTY, SEED, Report
from tests.faults.trials import half_of_the_trials


@pytest.mark.timeout(235)
@pytest.mark.parametrize("half", ["a", "b"])
def test_killed_at_random_moments_over_eight_scenarios(folder: Path, half: str, record_property: Report) -> None:
    trials = half_of_the_trials("tests.faults.kills", folder, half)
    killed = Counter({trial["scenario"]: 0 for trial in trials})
    for trial in trials:
        killed[trial["scenario"]] += len(trial["kills"])
    assert killed.total() >= PROCESSES // 2
    assert (len(killed), min(killed.values()) > 0) == (8, True)
    spread = ", ".join(f"{name} {number}" for name, number in sorted(killed.items()))
    record_property(PROPERTY, f"{killed.total()} processes killed by SIGKILL (seed {SEED}{half}): {spread}")


@pytest.mark.timeout(235)
@pytest.mark.parametrize("half", ["a", "b"])
def test_killed_at_random_moments_on_postgres(
    folder: Path, half: str, postgres: PostgresServer, record_property: Report
) -> None:
    trials = half_of_the_trials("tests.faults.kills", folder, half, postgres.folder, processes=FEWER)
    killed = Counter(trial["scenario"] for trial in trials for _ in trial["kills"])
    assert killed.total() >= FEWER // 2
    record_property(PROPERTY, f"{killed.total()} processes on PostgreSQL killed by SIGKILL (seed {SEED}{half})")
