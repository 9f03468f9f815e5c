"""A warm parent whose children are killed by SIGKILL at random moments, until the scenario is through.

Run as `python -m tests.faults.kills FOLDER SEED KILLS`; prints a JSON line a trial. A moment is a database statement,
counted in the child, or a time, kept by the parent; both are drawn from the seed and the length of a whole life.
"""

import asyncio
import gc
import json
import os
import random
import select
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import langgraph.pregel.main  # noqa: F401 loaded here, once for all children

from tests.faults.invariants import broken
from tests.faults.lab import FaultLab, bash_effect
from tests.faults.scenarios import SCENARIOS, Scenario
from tests.faults.user import User

MARK = "ML_INTERN_FAULT_TRIAL"
MOST_LIVES = 12
PATIENCE = 60.0
"""Seconds after which a life that should have ended counts as hung."""


@dataclass(frozen=True)
class Whole:
    """A life without kills: the conversation at its end, its database statements, its seconds."""

    final: Sequence[dict[str, Any]]
    statements: int
    seconds: float


@dataclass(frozen=True)
class Moment:
    """When a child is killed: at a statement, or after so many seconds; neither means never."""

    statement: int = 0
    seconds: float = 0.0


def count_statements(statement: int) -> list[int]:
    """Count the statements of every connection opened from now on; at the given one this process is killed."""
    seen, connect = [0], sqlite3.connect

    def count(sql: str) -> None:
        seen[0] += 1
        if seen[0] == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **options)
        connection.set_trace_callback(count)
        return connection

    sqlite3.connect = counted  # type: ignore[assignment]
    return seen


def fork(work: Callable[[], None]) -> int:
    """Run `work` in a forked child; its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 a child that fails says so and never runs the parent's code
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        os._exit(1)


def wait(pid: int, seconds: float) -> int:
    """The wait status of a child, which is killed when it has not ended after so many seconds."""
    ended = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    if not poll.poll(seconds * 1000):
        os.kill(pid, signal.SIGKILL)
    os.close(ended)
    return os.waitpid(pid, 0)[1]


def leftovers(mark: str) -> list[int]:
    """Processes that were started with this mark in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def life(lab: FaultLab, scenario: Scenario, moment: Moment) -> int:
    """One life of the user in a child process, killed at `moment`; its wait status."""

    def work() -> None:
        os.environ[MARK] = lab.root.name
        seen, began = count_statements(moment.statement), time.monotonic()
        asyncio.run(User(lab, scenario).live())
        lab.record.add(
            whole={"statements": seen[0], "seconds": time.monotonic() - began}, left=leftovers(lab.root.name)
        )

    return wait(fork(work), moment.seconds or PATIENCE)


def whole_life(folder: Path, scenario: Scenario) -> Whole:
    """What a scenario comes to without kills. Raises RuntimeError when even that fails."""
    lab = scenario.lab(folder)
    status = life(lab, scenario, Moment())
    final = lab.record.newest("final")
    if status or (faults := broken(lab, final)):
        raise RuntimeError(f"{scenario.name} fails without faults: {status} {faults}")
    return Whole(final, **lab.record.newest("whole"))


def moment_of(dice: random.Random, whole: Whole, kills: int) -> Moment:
    """A moment in what is probably left of the scenario after so many kills."""
    left = 0.6**kills
    if dice.random() < 0.5:
        return Moment(statement=dice.randrange(1, max(2, int(whole.statements * left))))
    return Moment(seconds=max(0.001, dice.uniform(0, whole.seconds * left)))


def trial(lab: FaultLab, scenario: Scenario, whole: Whole) -> dict[str, Any]:
    """Lives of one user: one to three are killed, the last one goes through; what was broken."""
    dice = random.Random(lab.seed)
    wanted, moments = dice.choice((1, 1, 2, 3)), []
    for _ in range(MOST_LIVES):
        moment = moment_of(dice, whole, len(moments)) if len(moments) < wanted else Moment()
        status = life(lab, scenario, moment)
        if os.WIFSIGNALED(status):
            moments.append(vars(moment))
        if status and not (os.WIFSIGNALED(status) and moment != Moment()):
            return {"kills": moments, "broken": [f"a life ended with the wait status {status}"]}
        if not status:
            return {"kills": moments, "broken": broken(lab, whole.final)}
    return {"kills": moments, "broken": [f"not through after {MOST_LIVES} lives"]}


def main(folder: Path, seed: str, kills: int) -> None:
    """Trials until there were so many kills, the next one always where there were fewest."""
    scenarios = [make(bash_effect) for make in SCENARIOS]
    wholes = [whole_life(folder / f"whole-{scenario.name}", scenario) for scenario in scenarios]
    gc.freeze()
    killed = [0] * len(scenarios)
    number = 0
    while sum(killed) < kills:
        place = killed.index(min(killed))
        scenario = scenarios[place]
        root = folder / f"{seed}-{number}-{scenario.name}"
        lab = scenario.lab(root, f"{seed}/{number}")
        found = trial(lab, scenario, wholes[place])
        killed[place] += len(found["kills"])
        number += 1
        print(json.dumps({"scenario": scenario.name, "seed": lab.seed, "folder": str(root), **found}), flush=True)
        if not found["broken"]:
            shutil.rmtree(root)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
