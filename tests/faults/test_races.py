"""Two processes on one thread: exactly one runs it, the other one is told so, and the tools run once."""

from collections import Counter
from pathlib import Path

from tests.faults.counts import FEWER, PROPERTY, SEED, Report
from tests.faults.trials import outcomes


def test_one_of_two_processes_gets_the_thread(folder: Path, record_property: Report) -> None:
    races = outcomes("tests.faults.races", folder, SEED, FEWER)
    assert [race for race in races if race["broken"]] == []
    assert len(races) == FEWER
    kinds = ", ".join(f"{kind} {number}" for kind, number in sorted(Counter(r["kind"] for r in races).items()))
    record_property(PROPERTY, f"{len(races)} races of two processes (seed {SEED}), for a thread that is at: {kinds}")
