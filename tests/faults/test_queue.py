"""Killed at each point between the submission of a message and its first model call: none is lost, none doubled."""

import asyncio
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from ml_intern.graph.operations import Steer, UserInput
from ml_intern.session.agent import AgentSession
from ml_intern.store.store import Store
from tests.faults.broken_sqlite import Crash, DieAtCommit, Plan, broken_sqlite
from tests.faults.counts import EACH, EVERY_FAULT, PROPERTY, Report
from tests.faults.forks import count_statements, fork, wait
from tests.faults.lab import FaultLab, mark_effect
from tests.faults.scenarios import Scenario, says
from tests.faults.user import users

SENT = ("one", "two", "three")
TURNS = [says("first", mark_effect("a")), says("second", mark_effect("b")), says("A"), says("B"), says("C")]
SCENARIO = Scenario("queue", TURNS, (), {"approval_mode": "yolo"})
STEERED = "three"


async def send(lab: FaultLab) -> None:
    """Send three messages during one turn and steer the last one. What `submit` acknowledged goes to the record."""
    async with lab.session(None, **SCENARIO.choices) as session:
        lab.record.add(thread=session.thread_id)
        messages = {text: UserInput(text) for text in SENT}
        for text, message in messages.items():
            await session.submit(message)
            lab.record.add(sent=text)
        await session.submit(Steer(messages[STEERED].id))
        await rest(session)
        lab.record.add(final=users(await session.messages()))


async def rest(session: AgentSession) -> None:
    """Read events until every operation has finished, or until the session has died."""

    async def read() -> None:
        async for _ in session.events():
            pass

    tasks = {asyncio.create_task(read()), asyncio.create_task(session.idle())}
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


async def open_again(lab: FaultLab) -> None:
    """Open the thread, if there is one, and let it finish by itself."""
    thread = lab.record.newest("thread")
    async with await Store.open(lab.home) as store:
        known = [row.id for row in await store.threads.list()]
    if thread not in known:
        lab.record.add(final=[])
        return
    async with lab.session(thread, **SCENARIO.choices) as session:
        await rest(session)
        lab.record.add(final=users(await session.messages()), queued=len(await session.queue()))


def broken(lab: FaultLab) -> list[str]:
    """The messages that were acknowledged and lost, and those that are in the conversation twice."""
    final = list(lab.record.newest("final", []))
    lost = [f"lost: {text}" for text in lab.record.all("sent") if text not in final]
    return [*lost, *(f"{text} is there {final.count(text)} times" for text in set(final) if final.count(text) > 1)]


def crashed(root: Path, plan: Plan) -> bool:
    """Play a life that dies at a commit, and one after it. Return whether it died."""
    lab = SCENARIO.lab(root)
    try:
        with broken_sqlite(plan):
            asyncio.run(send(lab))
    except Crash:
        asyncio.run(open_again(lab))
        assert (broken(lab), lab.record.newest("queued", 0)) == ([], 0), root
        return True
    assert broken(lab) == []
    return False


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_crash_at_every_commit_loses_and_doubles_no_message(
    folder: Path, moment: str, record_property: Report
) -> None:
    crashes = 0
    for commit in count(2, EACH):
        if not crashed(folder / str(commit), DieAtCommit(commit, late=moment == "after")):
            break
        crashes += 1
    assert crashes > 3
    record_property(PROPERTY, f"{crashes} crashes, {moment} a commit, while messages were queued and steered")


def in_a_child(work: Callable[[], None]) -> int:
    return wait(fork(work))


def test_kill_at_statements_loses_and_doubles_no_message(folder: Path, record_property: Report) -> None:
    kills = 0
    for statement in count(7, 5 if EVERY_FAULT else 29):
        lab = SCENARIO.lab(folder / str(statement))

        def killed(lab: FaultLab = lab, statement: int = statement) -> None:
            count_statements(statement)
            asyncio.run(send(lab))

        status = in_a_child(killed)
        if status == 0:
            break
        assert in_a_child(lambda lab=lab: asyncio.run(open_again(lab))) == 0  # type: ignore[misc]
        assert (broken(lab), lab.record.newest("queued", 0)) == ([], 0), (statement, lab.root)
        kills += 1
    assert kills > 5
    record_property(PROPERTY, f"{kills} processes killed by SIGKILL while messages were queued and steered")
