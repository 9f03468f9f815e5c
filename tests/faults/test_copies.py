"""A copy of the database, log and all, taken after a commit is a thread that opens and goes on."""

import shutil
from pathlib import Path

from ml_intern.store.store import DATABASE_NAME
from tests.faults.broken_sqlite import AfterCommits
from tests.faults.counts import EACH, PROPERTY, Report
from tests.faults.lab import LOG, FaultLab, mark_effect
from tests.faults.lives import go_on, live, whole_life
from tests.faults.scenarios import long_thread


def test_a_copy_taken_after_every_commit_goes_on(folder: Path, record_property: Report) -> None:
    scenario = long_thread(mark_effect)
    lab, whole = scenario.lab(folder / "lab"), whole_life(folder / "whole", scenario)
    copies: list[FaultLab] = []

    def copy(commit: int) -> None:
        taken = scenario.lab(folder / f"copy{commit}", str(commit))
        taken.home.mkdir(mode=0o700)
        # No commit happens meanwhile; the files are still copied in the order in which they are written.
        for path in (lab.record.path, *lab.home.glob(f"{DATABASE_NAME}*"), lab.workspace / LOG):
            if path.exists():
                shutil.copy(path, taken.root / path.relative_to(lab.root))
        copies.append(taken)

    live(lab, scenario, AfterCommits(copy))
    assert len(copies) > 40
    opened = [*enumerate(copies, 1)][::EACH]
    for number, taken in opened:
        assert go_on(taken, scenario, whole) == [], f"commit {number}"
    record_property(PROPERTY, f"{len(opened)} copies, one after {EACH} commits, opened and went on")
