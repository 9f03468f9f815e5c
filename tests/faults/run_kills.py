"""A warm parent whose children launch a background run and are killed by SIGKILL, until the thread was woken.

Run as `python -m tests.faults.run_kills FOLDER SEED KILLS`; prints a JSON line a trial. The first trials are killed at
each statement of the launch, the others at a random moment of the whole life.
"""

import asyncio
import gc
import json
import os
import random
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import langgraph.pregel.main  # noqa: F401 loaded here, once for all children

from ml_intern.graph.operations import UserInput
from ml_intern.graph.state import is_user_message
from ml_intern.runs.run_folder import is_supervised, runs_home
from ml_intern.session.agent import AgentSession
from ml_intern.store.store import DATABASE_NAME, Store
from tests.faults.forks import Moment, count_statements, fork, wait
from tests.faults.lab import LOG, FaultLab

MAX_LIVES = 12
SECONDS = 0.3
COMMAND = f"echo begun >> {LOG}; sleep {SECONDS}; echo loss=0.5"
STEPS = (
    {"text": "", "tool_calls": [{"name": "bash", "args": {"command": COMMAND, "background": True}}]},
    {"text": "waiting"},
    {"text": "woken"},
)


async def live(lab: FaultLab) -> None:
    """Open the thread, say what is to be done if it was not said, and stay until no run is left."""
    async with lab.session(await _thread(lab)) as session:
        taking = asyncio.ensure_future(_take_all(session))
        await session.idle()
        if not any(map(is_user_message, await session.messages())):
            await session.submit(UserInput("train"))
        await session.idle()
        while not session.runs.quiet:
            await session.runs.ended()
            await session.idle()
        await session.at_rest()
        lab.record.add(final=[message.text for message in await session.messages()])
        taking.cancel()


async def _take_all(session: AgentSession) -> None:
    async for _ in session.events():
        pass


async def _thread(lab: FaultLab) -> str | None:
    if not lab.home.exists():
        return None
    async with await Store.open(lab.home) as store:
        rows = await store.threads.list()
    return rows[0].id if rows else None


def life(lab: FaultLab, moment: Moment) -> int:
    """One life in a child process, killed at `moment`; its wait status."""

    def work() -> None:
        count_statements(moment.statement)
        asyncio.run(live(lab))

    return wait(fork(work), moment.seconds or 60)


def statements(lab: FaultLab) -> list[str]:
    """The statements of a life without kills."""

    def work() -> None:
        seen = list[str]()
        connect: Callable[..., sqlite3.Connection] = sqlite3.connect

        def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
            connection = connect(*arguments, **options)
            connection.set_trace_callback(seen.append)
            return connection

        sqlite3.connect = traced  # type: ignore[assignment]
        asyncio.run(live(lab))
        lab.record.add(statements=seen)

    assert wait(fork(work)) == 0
    found: list[str] = lab.record.newest("statements")
    return found


def launching(whole: list[str]) -> range:
    """The statements from the call's row in the journal to the run's handle, counted from 1."""
    first = next(place for place, sql in enumerate(whole) if sql.startswith("INSERT INTO journal"))
    last = max(place for place, sql in enumerate(whole) if sql.startswith("UPDATE runs SET") and "handle" in sql)
    return range(first, last + 3)


def trial(lab: FaultLab, first: int, length: int) -> dict[str, Any]:
    """Lives that are killed, then one that goes through; what was broken."""
    dice, kills = random.Random(lab.seed), 0
    wanted = dice.choice((1, 2))
    for _ in range(MAX_LIVES):
        moment = Moment()
        if kills < wanted:
            early = first if kills == 0 else 0
            moment = Moment(statement=early or dice.randrange(1, length))
            if not early and dice.random() < 0.5:
                moment = Moment(seconds=dice.uniform(0.05, SECONDS + 1.5))
        status = life(lab, moment)
        if not status:
            return {"kills": kills, "broken": broken(lab)}
        if not os.WIFSIGNALED(status):
            return {"kills": kills, "broken": [f"a life ended with the wait status {status}"]}
        kills += 1
    return {"kills": kills, "broken": [f"not through after {MAX_LIVES} lives"]}


def broken(lab: FaultLab) -> list[str]:
    """Double launches, lost handles, runs that nobody can find: what must not be."""
    with closing(sqlite3.connect(lab.home / DATABASE_NAME)) as connection:
        rows = connection.execute("SELECT id, state, handle FROM runs").fetchall()
    known, begun = {id for id, _, _ in rows}, len(lab.effects())
    folders = sorted(runs_home(lab.home).iterdir()) if runs_home(lab.home).exists() else []
    final = lab.record.newest("final")
    faults = [f"{len(rows)} runs for one call"] if len(rows) != 1 else []
    faults += [f"the command began {begun} times"] if begun != 1 else []
    faults += [f"{id} is {state} with the handle {handle}" for id, state, handle in rows if state != "succeeded"]
    faults += [f"{folder.name} has no row" for folder in folders if folder.name not in known]
    faults += [f"{folder.name} goes on" for folder in folders if is_supervised(folder)]
    faults += [f"the conversation ends with {final[-2:]}"] if final[-1] not in ("woken", "waiting") else []
    told = sum("ended: succeeded" in text for text in final)
    return faults + ([f"the end was told {told} times"] if told != 1 else [])


def main(folder: Path, seed: str, kills: int) -> None:
    """Trials until there were so many kills."""
    whole = statements(_lab(folder / "whole", seed))
    moments, killed, number = list(launching(whole)), 0, 0
    gc.freeze()
    while killed < kills:
        lab = _lab(folder / f"{seed}-{number}", f"{seed}/{number}")
        early = moments[number] if number < len(moments) else 0
        began = time.monotonic()
        found = trial(lab, early, len(whole))
        killed += found["kills"]
        number += 1
        print(json.dumps({"seed": lab.seed, "seconds": round(time.monotonic() - began, 1), **found}), flush=True)
        if not found["broken"]:
            shutil.rmtree(lab.root)


def _lab(root: Path, seed: str) -> FaultLab:
    return FaultLab(root, seed).prepare({}, {"main": STEPS})


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
