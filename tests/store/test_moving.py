"""A thread moves between a file and PostgreSQL with all its history, and is complete in one of them at any time."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from langgraph.types import Command

from ml_intern.configs.errors import ThreadLocked, UsageError
from ml_intern.store.moving.rows import read_rows, same_rows
from ml_intern.store.moving.thread import move_thread
from ml_intern.store.store import DATABASE_NAME, Store
from tests.fakes.postgres import PostgresServer
from tests.store.conftest import Start, finish
from tests.store.graphs import Agent, Tokens, config, question

MOVE = """
    import asyncio, sys
    from pathlib import Path
    from ml_intern.store.moving.thread import move_thread
    from ml_intern.store.store import Store

    async def main(home, url, home_there, url_there):
        async with await Store.open(Path(home), url=url) as here:
            async with await Store.open(Path(home_there), url=url_there) as there:
                print("moved", (await move_thread(here, there, "t")).checkpoints)

    asyncio.run(main(*sys.argv[1:]))
"""
SECONDS = 60.0


@pytest.fixture
async def team(tmp_path: Path, postgres: PostgresServer) -> AsyncIterator[Store]:
    async with await Store.open(tmp_path / "team", url=postgres.new_database()) as opened:
        yield opened


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Store]:
    async with await Store.open(tmp_path / "home") as opened:
        yield opened


@pytest.fixture(params=["to PostgreSQL", "to the file"])
def both(request: pytest.FixtureRequest, local: Store, team: Store) -> tuple[Store, Store]:
    """The store that has the thread, and the one to which it goes."""
    return (local, team) if request.param == "to PostgreSQL" else (team, local)


async def fill(store: Store, iterations: int = 6, *, ask_at: int = 4) -> Any:
    """A thread `t` with a branch, an open question, costs, a call, a queue, events, a run, artifacts and a child."""
    await store.threads.create(id="t", title="A long story", folder="/somewhere/work", turns=2, redo=("a", "b"))
    await store.threads.create(id="child", title="research", folder="/somewhere/work", parent="t")
    await store.threads.save_options("t", {"model": "scripted:x"})
    app = Agent(iterations, ask_at=ask_at).compiled(await store.saver())
    await app.ainvoke(question("first"), config("t"), durability="sync")
    await app.ainvoke(Command(resume={"may": "yes"}), config("t"), durability="sync")
    older = [one async for one in app.aget_state_history(config("t"))][3]
    await app.aupdate_state(older.config, {"iteration": 2}, as_node="doom_check")
    await app.ainvoke(question("second", 2), config("t"), durability="sync")
    await Agent(2).compiled(await store.saver()).ainvoke(question("a child"), config("child"), durability="sync")
    for thread in ("t", "child"):
        entry = await store.ledger.reserve(thread, "t", "main" if thread == "t" else "research", "m")
        await store.ledger.settle(entry, Tokens(), 0.25)
    await store.operations.post("t", "op-1", {"type": "user_input", "text": "later"})
    store.event_numbers.reserve("t", 500)
    store.events.add("t", 1, "{}")
    await store.sync()
    for path in ("artifacts/t/deep/model.bin", "artifacts/child/notes"):
        (store.home / path).parent.mkdir(parents=True, exist_ok=True)
        (store.home / path).write_bytes(path.encode())
    return (await app.aget_state(config("t"))).values


async def test_the_whole_thread_is_there_and_goes_on(both: tuple[Store, Store]) -> None:
    here, there = both
    before = await fill(here)
    rows = await read_rows(here, ["t", "child"], "/somewhere/work")
    lineage = [ref.id for ref in await here.checkpoints.lineage("t")]
    every = set(await here.checkpoints.all_of("t"))
    moved = await move_thread(here, there, "A long story")
    assert (moved.threads, moved.files) == (2, 2)
    assert await here.threads.get("t") is None
    assert await here.threads.get("child") is None
    assert not await here.checkpoints.all_of("t")
    assert not (here.home / "artifacts" / "t").exists()
    assert same_rows(rows, await read_rows(there, ["t", "child"], "/somewhere/work"))
    assert [ref.id for ref in await there.checkpoints.lineage("t")] == lineage
    assert set(await there.checkpoints.all_of("t")) == every
    assert (there.home / "artifacts/t/deep/model.bin").read_bytes() == b"artifacts/t/deep/model.bin"
    assert await there.event_numbers.last("t") == 500
    app = Agent(7).compiled(await there.saver())
    assert (await app.aget_state(config("t"))).values == before
    after = await app.ainvoke(question("third", 3), config("t"), durability="sync")
    assert [message.id for message in after["messages"]][: len(before["messages"])] == [
        message.id for message in before["messages"]
    ]


async def test_a_question_waits_for_its_answer_there(both: tuple[Store, Store]) -> None:
    here, there = both
    await here.threads.create(id="t", title="asks", folder="/somewhere")
    asking = Agent(3, ask_at=2).compiled(await here.saver())
    await asking.ainvoke(question("go"), config("t"), durability="sync")
    await move_thread(here, there, "t")
    app = Agent(3, ask_at=2).compiled(await there.saver())
    assert (await app.aget_state(config("t"))).interrupts
    ended = await app.ainvoke(Command(resume={"may": "yes"}), config("t"), durability="sync")
    assert ended["iteration"] == 3


async def test_there_and_back_is_the_same_and_costs_count_once(local: Store, team: Store) -> None:
    before = await fill(local)
    rows = await read_rows(local, ["t", "child"], "/somewhere/work")
    for here, there in ((local, team), (team, local), (local, team), (team, local)):
        await move_thread(here, there, "t")
    assert same_rows(rows, await read_rows(local, ["t", "child"], "/somewhere/work"))
    app = Agent(6).compiled(await local.saver())
    assert (await app.aget_state(config("t"))).values == before
    assert (await local.ledger.total("t")).cost_usd == 0.5


async def test_a_running_thread_and_one_that_exists_there_are_refused(both: tuple[Store, Store]) -> None:
    here, there = both
    await fill(here)
    async with here.hold("t"):
        with pytest.raises((ThreadLocked, UsageError)):
            await move_thread(here, there, "t")
    await there.threads.create(id="t", title="Another one", folder="/elsewhere")
    with pytest.raises(UsageError, match="exists there too"):
        await move_thread(here, there, "t")
    found = await there.threads.get("t")
    assert found is not None
    assert found.title == "Another one"
    assert await here.checkpoints.all_of("t")


def seen(store: Store, statement: str) -> int:
    """What another process counts in the database now."""
    if store.is_shared:
        with psycopg.connect(str(getattr(store.database, "url"))) as connection:  # noqa: B009  only PostgreSQL's has one
            found = connection.execute(statement.encode()).fetchone()
    else:
        with sqlite3.connect(store.home / DATABASE_NAME) as file:
            found = file.execute(statement.replace("ml_intern.", "").replace("public.", "")).fetchone()
    assert found is not None
    return int(found[0])


def kill_when(process: "subprocess.Popen[str]", holds: Callable[[], bool]) -> None:
    """Kill a process as soon as something holds, if it has not ended before."""
    until = time.monotonic() + SECONDS
    while process.poll() is None and not holds():
        assert time.monotonic() < until
        time.sleep(0.005)
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=SECONDS)


@pytest.mark.parametrize("checkpoints", [1, 20, 60])
async def test_a_killed_move_loses_nothing_and_the_next_one_finishes_it(
    both: tuple[Store, Store], start: Start, checkpoints: int
) -> None:
    here, there = both
    before = await fill(here, 20)
    url, url_there = (getattr(store.database, "url", "") for store in both)
    arguments = (here.home, url, there.home, url_there)
    await there.saver()  # its tables exist
    count = "SELECT count(*) FROM public.checkpoints"
    await asyncio.to_thread(kill_when, start(MOVE, *arguments), lambda: seen(there, count) >= checkpoints)
    assert await here.threads.get("t") is not None
    assert (await asyncio.to_thread(finish, start(MOVE, *arguments))).startswith("moved")
    assert await here.threads.get("t") is None
    app = Agent(20).compiled(await there.saver())
    assert (await app.aget_state(config("t"))).values == before


async def test_a_move_that_was_killed_before_it_removed_the_original_is_finished(
    both: tuple[Store, Store], start: Start
) -> None:
    here, there = both
    before = await fill(here, 20)
    url, url_there = (getattr(store.database, "url", "") for store in both)
    arguments = (here.home, url, there.home, url_there)
    complete = "SELECT count(*) FROM ml_intern.threads WHERE title <> '' AND id = 't'"
    await asyncio.to_thread(kill_when, start(MOVE, *arguments), lambda: seen(there, complete) == 1)
    if await here.threads.get("t") is not None:
        assert (await asyncio.to_thread(finish, start(MOVE, *arguments))).startswith("moved")
    assert await here.threads.get("t") is None
    app = Agent(20).compiled(await there.saver())
    assert (await app.aget_state(config("t"))).values == before
