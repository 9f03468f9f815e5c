"""A warm parent whose children race for one thread, two at a time: one gets it, the other one is told so.

Run as `python -m tests.faults.races FOLDER SEED RACES`; prints a JSON line a race. Both begin when a pipe is closed,
and the winner does nothing before both know how it went: that is how a second winner would be seen.
"""

import asyncio
import gc
import json
import os
import random
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ml_intern.configs.errors import ThreadLocked
from ml_intern.graph.operations import ExecApproval, UserInput
from ml_intern.session.agent import AgentSession
from tests.faults.forks import Moment, fork, life, wait
from tests.faults.invariants import effects_twice
from tests.faults.lab import FaultLab, bash_effect, unpaired
from tests.faults.scenarios import Action, Answers, Scenario, says
from tests.faults.user import users

KINDS = ("rest", "approval", "work")
FIRST = UserInput("one")
IN, LOCKED = b"i", b"l"
ENDS = ("turn_complete", "interrupted")


@dataclass(frozen=True)
class Gate:
    """A pipe that is closed to let all readers go on at once."""

    read_end: int
    write_end: int

    @classmethod
    def shut(cls) -> "Gate":
        """A new gate."""
        return cls(*os.pipe())

    def wait(self) -> None:
        """Wait until the parent opens it; a child lets go of its own end first."""
        os.close(self.write_end)
        os.read(self.read_end, 1)

    def open(self) -> None:
        """Let them go."""
        os.close(self.write_end)
        os.close(self.read_end)


def start(kind: str) -> Scenario:
    """What happened on the thread before the race."""
    steps = [says("first", bash_effect("a"), bash_effect("b")), says("A"), says("second", bash_effect("c")), says("B")]
    answers: Answers = "none" if kind == "approval" else "yes"
    choices = {"approval_mode": "ask" if kind == "approval" else "auto"}
    return Scenario(kind, steps, [Action(FIRST, (FIRST.text,), answers)], choices)


def thread_before(folder: Path, kind: str, dice: random.Random) -> FaultLab:
    """A lab whose thread waits for an approval, was killed in its work, or is at rest."""
    scenario = start(kind)
    lab = scenario.lab(folder)
    moment = Moment(statement=dice.randrange(120, 260)) if kind == "work" else Moment()
    life(lab, scenario, moment)
    return lab


async def contend(lab: FaultLab, kind: str, said: int, gates: Mapping[str, Gate]) -> int:
    """One of the two: open the thread, tell how it went, and when both know, do the work. The exit code."""
    scenario = start(kind)
    gates["go"].wait()
    try:
        async with lab.session(lab.record.newest("thread"), **scenario.choices) as session:
            os.write(said, IN)
            gates["both know"].wait()
            await work(session, kind)
            found = await session.messages()
            lab.record.add(found=users(found), unpaired=unpaired(found))
    except ThreadLocked as locked:
        os.write(said, LOCKED)
        return locked.exit_code
    return 0


async def work(session: AgentSession, kind: str) -> None:
    """What the winner has to do: answer, let the thread finish, or say something new."""
    events = session.events()
    pending = ""
    async for event in events:
        if event.type == "resumed":
            pending = event.data["pending"]
            if kind == "rest" or not pending:
                await session.submit(UserInput("two"))
        if event.type == "approval_required":
            await session.submit(ExecApproval({r["id"]: {"type": "approve"} for r in event.data["requests"]}))
        if event.type in ENDS:
            return


def race(lab: FaultLab, kind: str) -> list[str]:
    """Let two processes race; what went wrong."""
    gates = {"go": Gate.shut(), "both know": Gate.shut()}
    hear, say = os.pipe()

    def child() -> None:
        os._exit(asyncio.run(contend(lab, kind, say, gates)))

    pids = [fork(child), fork(child)]
    os.close(say)
    gates["go"].open()
    words = os.read(hear, 1) + os.read(hear, 1)
    gates["both know"].open()
    codes = sorted(os.waitstatus_to_exitcode(wait(pid)) for pid in pids)
    os.close(hear)
    return [*_wrong(lab, sorted(words), codes), *effects_twice(lab)]


def _wrong(lab: FaultLab, words: list[int], codes: list[int]) -> list[str]:
    if bytes(words) != IN + LOCKED or codes != [0, ThreadLocked.exit_code]:
        return [f"the two said {bytes(words)!r} and ended with {codes}"]
    found, fault = lab.record.newest("found"), lab.record.newest("unpaired")
    wrong = [] if found in ([FIRST.text], [FIRST.text, "two"]) else [f"the messages are {found}"]
    return [*wrong, *([fault] if fault else [])]


def main(folder: Path, seed: str, races: int) -> None:
    """Races for threads in each kind of state in turn."""
    gc.freeze()
    for number in range(races):
        kind = KINDS[number % len(KINDS)]
        root = folder / f"{seed}-{number}-{kind}"
        lab = thread_before(root, kind, random.Random(f"{seed}/{number}"))
        found = race(lab, kind)
        print(json.dumps({"kind": kind, "seed": f"{seed}/{number}", "folder": str(root), "broken": found}), flush=True)
        if not found:
            shutil.rmtree(root)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
