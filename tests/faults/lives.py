"""Lives of a user within the test's own process."""

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.broken_sqlite import Plan, broken_sqlite
from tests.faults.invariants import broken
from tests.faults.lab import FaultLab
from tests.faults.scenarios import Scenario
from tests.faults.user import User


@dataclass(frozen=True)
class Whole:
    """A life without faults: the conversation at its end, its statements and its commits."""

    final: Sequence[dict[str, Any]]
    statements: int
    commits: int


def whole_life(root: Path, scenario: Scenario) -> Whole:
    """What the scenario comes to when nothing fails."""
    lab, plan = scenario.lab(root), Plan()
    live(lab, scenario, plan)
    final = lab.record.newest("final")
    assert broken(lab, final) == []
    return Whole(final, plan.statements, plan.commits)


def live(lab: FaultLab, scenario: Scenario, plan: Plan | None = None) -> None:
    """One life; the plan's faults come out of it as they are."""
    with broken_sqlite(plan or Plan()):
        asyncio.run(User(lab, scenario).live())


def go_on(lab: FaultLab, scenario: Scenario, whole: Whole) -> list[str]:
    """A life without faults after one that had some; what was broken then. A lab that is sound is removed."""
    live(lab, scenario)
    found = broken(lab, whole.final)
    if not found:
        shutil.rmtree(lab.root)
    return found
