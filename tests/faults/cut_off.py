"""A warm parent whose children are killed while a command of theirs runs for ever; then the thread is opened again.

Run as `python -m tests.faults.cut_off FOLDER`; prints a JSON line for each way a command can be under way.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from ml_intern.graph.operations import Interrupt, Operation, RunCommand, UserInput
from ml_intern.store.store import Store
from tests.faults.forks import MARK, fork, leftovers, wait
from tests.faults.lab import LOG, FaultLab
from tests.faults.scenarios import Scenario, says
from tests.faults.user import conversation

READY = "ready"
FOREVER = f'echo "$ML_INTERN_CALL" >> {LOG}; setsid sleep 600 & sleep 600 & echo ready > {READY}; wait'
BASH = {"name": "bash", "args": {"command": FOREVER}}
ASK = {"name": "ask", "args": {"question": "what is there?"}}


def ways() -> dict[str, tuple[Scenario, Operation]]:
    """How a command can be under way: called by the model, by a sub-agent, or run by the user."""
    own = Scenario("call", [says("first", BASH), says("A")], [], {"approval_mode": "yolo"})
    child = [says("looking", BASH), says("The report")]
    sub = Scenario("sub_agent", [says("first", ASK), says("A")], [], {"approval_mode": "yolo"}, child)
    hand = Scenario("by_hand", [says("A")], [], {"approval_mode": "yolo"})
    go = UserInput("go")
    return {"call": (own, go), "sub_agent": (sub, go), "by_hand": (hand, RunCommand(FOREVER))}


async def begin(lab: FaultLab, scenario: Scenario, operation: Operation) -> None:
    """Start the command and wait for the end that does not come."""
    async with lab.session(None, **choices(lab, scenario)) as session:
        lab.record.add(thread=session.thread_id)
        await session.submit(operation)
        async for _ in session.events():
            pass


async def open_again(lab: FaultLab, scenario: Scenario) -> None:
    """Open the thread and let it go on to the end of its turn."""
    async with lab.session(lab.record.newest("thread"), **choices(lab, scenario)) as session:
        async for event in session.events():
            if event.type == "resumed":
                lab.record.add(resumed=event.data)
            if event.type == "turn_complete" or (event.type == "resumed" and not event.data["pending"]):
                break
        await look(lab, session.services.store, conversation(await session.messages()))


async def interrupted(lab: FaultLab, scenario: Scenario, operation: Operation) -> None:
    """Start the command and stop it with Ctrl-C when it runs."""
    async with lab.session(None, **choices(lab, scenario)) as session:
        await session.submit(operation)
        await asyncio.to_thread((lab.workspace / READY).read_text)
        await session.submit(Interrupt())
        async for event in session.events():
            if event.type == "interrupted":
                lab.record.add(reason=event.data["reason"])
                break
        await look(lab, session.services.store, conversation(await session.messages()))


async def look(lab: FaultLab, store: Store, final: list[dict[str, Any]]) -> None:
    """What is there now."""
    rows = await store.threads.list(children=True)
    started = [row.tool for one in rows for row in await store.journal.open_calls(one.id)]
    lab.record.add(final=final, open=started, left=leftovers(lab.root))


def choices(lab: FaultLab, scenario: Scenario) -> dict[str, Any]:
    """The options of the scenario's sessions."""
    return {**scenario.choices, "research_model": lab.model("child") if scenario.child_steps else None}


def child(lab: FaultLab, work: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Run a life in a child; its process id."""

    def marked() -> None:
        os.environ[MARK] = str(lab.root)
        asyncio.run(work())

    return fork(marked)


def prepared(root: Path, scenario: Scenario) -> FaultLab:
    """A lab with the pipe through which the command says that it runs."""
    lab = scenario.lab(root)
    os.mkfifo(lab.workspace / READY)
    return lab


def killed(root: Path, scenario: Scenario, operation: Operation) -> dict[str, Any]:
    """Kill the agent while the command runs, open the thread again, and tell what was there before and after."""
    lab = prepared(root, scenario)
    pid = child(lab, lambda: begin(lab, scenario, operation))
    (lab.workspace / READY).read_text()
    os.kill(pid, signal.SIGKILL)
    wait(pid)
    before = {"orphans": len(leftovers(lab.root)), "state": asyncio.run(state(lab))}
    status = wait(child(lab, lambda: open_again(lab, scenario)))
    return {**before, **told(lab, status), "resumed": lab.record.newest("resumed")}


def stopped(root: Path, scenario: Scenario, operation: Operation) -> dict[str, Any]:
    """Stop the agent with Ctrl-C while the command runs, and tell what is there then."""
    lab = prepared(root, scenario)
    return told(lab, wait(child(lab, lambda: interrupted(lab, scenario, operation))))


def told(lab: FaultLab, status: int) -> dict[str, Any]:
    """What the last life recorded."""
    found = {key: lab.record.newest(key) for key in ("final", "open", "left")}
    return {**found, "status": status, "effects": len(lab.effects())}


async def state(lab: FaultLab) -> str:
    """How the thread is listed."""
    async with await Store.open(lab.home) as store:
        return (await store.threads.find(lab.record.newest("thread"))).state


def main(folder: Path) -> None:
    """Each way a command can be under way, killed and stopped."""
    for name, (scenario, operation) in ways().items():
        for end in (killed, stopped):
            found = end(folder / f"{end.__name__}-{name}", scenario, operation)
            sys.stdout.write(json.dumps({"end": end.__name__, "way": name, **found}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
