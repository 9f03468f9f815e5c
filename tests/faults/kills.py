"""A warm parent whose children are killed by SIGKILL at random moments, until the scenario is through.

Run as `python -m tests.faults.kills FOLDER SEED KILLS [SERVER]`; prints a JSON line a trial. SERVER is the folder of a
PostgreSQL server, on which each lab gets a database. A moment is a statement for the database, counted in the child, or
a time, kept by the parent; both are drawn from the seed and the length of a whole life.
"""

import gc
import json
import os
import random
import shutil
import sys
from pathlib import Path
from typing import Any

from tests.fakes.postgres import PostgresServer
from tests.faults.forks import Moment, Whole, life, whole_life
from tests.faults.invariants import broken
from tests.faults.lab import FaultLab, bash_effect
from tests.faults.scenarios import SCENARIOS, Scenario

MAX_LIVES = 12


def moment_of(dice: random.Random, whole: Whole, kills: int) -> Moment:
    """A moment in what is probably left of the scenario after so many kills."""
    left = 0.6**kills
    if dice.random() < 0.5:
        return Moment(statement=dice.randrange(1, max(2, int(whole.statements * left))))
    return Moment(seconds=max(0.001, dice.uniform(0, whole.seconds * left)))


def trial(lab: FaultLab, scenario: Scenario, whole: Whole) -> dict[str, Any]:
    """Lives of one user: one to three are killed, the last one goes through; what was broken."""
    dice = random.Random(lab.seed)
    wanted = dice.choice((1, 1, 2, 3))
    moments: list[dict[str, Any]] = []
    for _ in range(MAX_LIVES):
        moment = moment_of(dice, whole, len(moments)) if len(moments) < wanted else Moment()
        status = life(lab, scenario, moment)
        if os.WIFSIGNALED(status):
            moments.append(vars(moment))
            lab.await_release()
        if status and not (os.WIFSIGNALED(status) and moment != Moment()):
            return {"kills": moments, "broken": [f"a life ended with the wait status {status}"]}
        if not status:
            return {"kills": moments, "broken": broken(lab, whole.final)}
    return {"kills": moments, "broken": [f"not through after {MAX_LIVES} lives"]}


def main(folder: Path, seed: str, kills: int, server: str = "") -> None:
    """Trials until there were so many kills, the next one always where there were fewest."""
    scenarios = [make(bash_effect) for make in SCENARIOS]
    new_database = PostgresServer(Path(server)).new_database if server else str
    labs = [scenario.lab(folder / f"whole-{scenario.name}", url=new_database()) for scenario in scenarios]
    wholes = [whole_life(lab, scenario) for lab, scenario in zip(labs, scenarios, strict=True)]
    gc.freeze()
    killed = [0] * len(scenarios)
    number = 0
    while sum(killed) < kills:
        place = killed.index(min(killed))
        scenario = scenarios[place]
        root = folder / f"{seed}-{number}-{scenario.name}"
        lab = scenario.lab(root, f"{seed}/{number}", new_database())
        found = trial(lab, scenario, wholes[place])
        killed[place] += len(found["kills"])
        number += 1
        print(json.dumps({"scenario": scenario.name, "seed": lab.seed, "folder": str(root), **found}), flush=True)
        if not found["broken"]:
            shutil.rmtree(root)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
