"""The checkpointer: a graph reads what it wrote, after undo, fork, interrupts, crashes and full disks."""

import asyncio
import gc
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import ormsgpack
import pytest
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.serde.types import ERROR
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Overwrite

from ml_intern.configs.errors import DatabaseUnusable, DiskFull
from ml_intern.graph.state import AgentState
from ml_intern.store.checkpoints.packing import TASK_DICTIONARY, deflate
from ml_intern.store.checkpoints.saver import Saver
from ml_intern.store.journal import CallKey
from ml_intern.store.store import DATABASE_NAME, Store
from tests.store.conftest import Start, finish, query, read_line
from tests.store.graphs import Agent, config, question

pytestmark = pytest.mark.sqlite_file


def ids(values: dict[str, Any]) -> list[str]:
    return [message.id for message in values["messages"]]


async def head(app: Any, thread_id: str) -> dict[str, Any]:
    values: dict[str, Any] = (await app.aget_state(config(thread_id))).values
    return values


async def test_another_process_finds_the_state_of_a_run(store: Store, home: Path) -> None:
    app = Agent(5).compiled(await store.saver())
    values = await app.ainvoke(question("go"), config("t"), durability="sync")
    async with await Store.open(home) as other:
        found = await head(Agent(5).compiled(await other.saver()), "t")
    assert found == await head(app, "t")
    assert ids(found) == ids(values)
    assert len(found["messages"]) == 11
    assert found["recent_calls"] == values["recent_calls"]


async def test_the_steps_before_a_call_are_on_disk_when_its_start_is(store: Store, home: Path) -> None:
    found = []

    async def reply(state: AgentState) -> dict[str, Any]:
        return {"iteration": 1}

    async def call(state: AgentState) -> dict[str, Any]:
        await store.journal.start(CallKey("t", "message", 0), "bash", "digest")
        found.append(query(home, "SELECT count(*) FROM checkpoints"))
        return {}

    graph = StateGraph(AgentState)
    graph.add_sequence([reply, call]).add_edge(START, "reply")
    await graph.compile(checkpointer=await store.saver()).ainvoke({"iteration": 0}, config("t"), durability="sync")
    found.append(query(home, "SELECT count(*) FROM checkpoints"))
    assert found == [[(3,)], [(4,)]]


async def test_undo_redo_and_compaction_preserve_every_branch(store: Store) -> None:
    app = Agent(2).compiled(await store.saver())
    first = await app.ainvoke(question("one", 1), config("t"), durability="sync")
    before = (await app.aget_state(config("t"))).config["configurable"]["checkpoint_id"]
    second = await app.ainvoke(question("two", 2), config("t"), durability="sync")
    tip = (await app.aget_state(config("t"))).config["configurable"]["checkpoint_id"]
    await app.aupdate_state(config("t", before), None, as_node="__copy__")
    assert ids(await head(app, "t")) == ids(first)
    third = await app.ainvoke(question("three", 3), config("t"), durability="sync")
    assert ids(await head(app, "t")) == ids(third)
    await app.aupdate_state(config("t", tip), None, as_node="__copy__")
    assert ids(await head(app, "t")) == ids(second)
    summary = [HumanMessage("what happened", id="summary")]
    await app.aupdate_state(config("t"), {"messages": Overwrite(summary)}, as_node="execute_tools")
    await app.aupdate_state(config("t"), {"messages": [HumanMessage("more", id="more")]}, as_node="execute_tools")
    assert ids(await head(app, "t")) == ["summary", "more"]
    assert ids((await app.aget_state(config("t", tip))).values) == ids(second)


async def test_a_pending_interrupt_is_on_disk_and_can_be_answered_by_another_process(store: Store, home: Path) -> None:
    app = Agent(3, ask_at=2).compiled(await store.saver())
    async for _ in app.astream(question("go"), config("t"), durability="sync"):
        pass
    async with await Store.open(home) as other:
        there = Agent(3, ask_at=2).compiled(await other.saver())
        (pending,) = (await there.aget_state(config("t"))).interrupts
        assert pending.value == {"may": "it?"}
        values = await there.ainvoke(Command(resume="approve"), config("t"), durability="sync")
    assert values["decisions"] == {"open": {"type": "approve"}}
    assert len(values["messages"]) == 7
    assert await head(app, "t") == values


async def test_a_result_and_its_checkpoint_are_written_atomically(store: Store) -> None:
    agent = Agent(50, result_bytes=20_000)
    app = agent.compiled(await store.saver())
    pages = await store.database.read(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
    await store.database.read(lambda db: db.execute(f"PRAGMA max_page_count = {pages + 50}").fetchone())
    with pytest.raises(DiskFull):
        await app.ainvoke(question("go"), config("t"), durability="sync")
    await store.database.read(lambda db: db.execute("PRAGMA max_page_count = 1000000").fetchone())
    stopped = await app.aget_state(config("t"))
    assert 1 < len(stopped.values["messages"]) < 101
    assert len(await store.checkpoints.lineage("t")) == stopped.metadata["step"] + 2
    values = await app.ainvoke(None, config("t"), durability="sync")
    assert len(values["messages"]) == 101


async def test_writes_without_a_following_checkpoint_are_committed(store: Store, home: Path) -> None:
    app = Agent(1).compiled(await store.saver())
    await app.ainvoke(question("go"), config("t"), durability="sync")
    newest = (await store.checkpoints.lineage("t"))[0].id
    before = query(home, "SELECT count(*) FROM task_writes")
    where: RunnableConfig = {"configurable": {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": newest}}
    await (await store.saver()).aput_writes(where, [("guard", {})], "b7e23ec2-9f0a-4bf0-8e0c-6a7b0c4f9d11")
    async with asyncio.timeout(30):
        while query(home, "SELECT count(*) FROM task_writes") == before:  # noqa: ASYNC110  another connection's view
            await asyncio.sleep(0.02)


async def test_closing_the_store_commits_queued_writes(home: Path) -> None:
    async with await Store.open(home) as store:
        where: RunnableConfig = {"configurable": {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": "c"}}
        await (await store.saver()).aput_writes(where, [("guard", {"a": 1})], "task")
    assert query(home, "SELECT count(*) FROM task_writes") == [(1,)]


async def test_writes_that_arrive_during_a_failed_commit_are_committed_later(store: Store, home: Path) -> None:
    saver = await store.saver()
    assert isinstance(saver, Saver)
    where: RunnableConfig = {"configurable": {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": "c"}}
    pages = await store.database.read(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
    await store.database.read(lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchone())
    large = [(ERROR, os.urandom(200_000))]
    first = asyncio.create_task(saver.aput_writes(where, large, "first"))
    await asyncio.sleep(0)  # its commit has begun; nothing below lets it end before the second write is queued
    await saver.aput_writes(where, [("guard", {"a": 1})], "second")
    with pytest.raises(DiskFull):
        await first
    with pytest.raises(DiskFull):
        await saver.flush()
    await store.database.read(lambda db: db.execute("PRAGMA max_page_count = 1000000").fetchone())
    await saver.flush()
    assert query(home, "SELECT count(*) FROM task_writes") == [(2,)]


async def test_a_failed_commit_in_the_background_prints_no_traceback(store: Store) -> None:
    printed: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: printed.append(about["message"]))
    saver = await store.saver()
    assert isinstance(saver, Saver)
    where: RunnableConfig = {"configurable": {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": "c"}}
    pages = await store.database.read(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
    await store.database.read(lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchone())
    await saver.aput_writes(where, [("guard", {"a": os.urandom(200_000).hex()})], "task")
    saver._flush_soon()  # the timer does this
    assert saver._flushing is not None
    await asyncio.wait([saver._flushing])
    saver._flushing = None
    gc.collect()
    await store.database.read(lambda db: db.execute("PRAGMA max_page_count = 1000000").fetchone())
    await saver.flush()
    assert printed == []


RUN = """
    import asyncio, sys
    from pathlib import Path
    from ml_intern.store.store import Store
    from tests.store.graphs import Agent, config, question

    async def main():
        store = await Store.open(Path(sys.argv[1]))
        app = Agent(1000, result_bytes=2000).compiled(await store.saver())
        async for step in app.astream(question("go"), config("t"), durability="sync"):
            print(len((await app.aget_state(config("t"))).values["messages"]), flush=True)

    asyncio.run(main())
"""


@pytest.mark.parametrize("steps", [1, 6, 15])
async def test_a_killed_run_loses_nothing_reported_and_continues(home: Path, start: Start, steps: int) -> None:
    process = start(RUN, home)
    seen = [int(read_line(process)) for _ in range(steps)]
    process.kill()
    finish(process)
    async with await Store.open(home) as store:
        assert await store.database.read(lambda db: db.execute("PRAGMA integrity_check").fetchone()[0]) == "ok"
        app = Agent(10).compiled(await store.saver())
        assert len((await head(app, "t"))["messages"]) >= seen[-1]
        assert len((await app.ainvoke(None, config("t"), durability="sync"))["messages"]) == 21


@pytest.mark.parametrize("table", ["checkpoints", "task_writes"])
async def test_a_forged_row_runs_no_code(store: Store, home: Path, tmp_path: Path, table: str) -> None:
    app = Agent(1).compiled(await store.saver())
    await app.ainvoke(question("go"), config("t"), durability="sync")
    proof = tmp_path / "proof"
    call = ormsgpack.Ext(0, ormsgpack.packb(("os", "system", f"touch {proof}")))
    checkpoint = {
        "v": 4,
        "ts": "",
        "id": "",
        "channel_values": {"plan": call},
        "channel_versions": {},
        "versions_seen": {},
    }
    raw = b"{}\n" + ormsgpack.packb(checkpoint)
    if table == "task_writes":
        raw = ormsgpack.packb(["", [["messages", call]]])
    forge(home, table, raw)
    saver = await store.saver()
    found = await saver.aget_tuple(config("t"))
    assert found is not None
    assert [one async for one in saver.alist(config("t"))]
    await saver.aget_delta_channel_history(config=config("t"), channels=["messages"])
    assert str(proof) in str(found)
    assert not proof.exists()


def forge(home: Path, table: str, raw: bytes) -> None:
    """Write an attacker's body into every row."""
    connection = sqlite3.connect(home / DATABASE_NAME)
    with connection:
        connection.execute("UPDATE bases SET raw = x'00'")
        base = TASK_DICTIONARY if table == "task_writes" else b"\0"
        connection.execute(f"UPDATE {table} SET body = ?", (deflate(raw, base),))
        if table == "task_writes":
            plain = b"{}\n" + ormsgpack.packb({"channel_values": {}, "channel_versions": {}, "versions_seen": {}})
            connection.execute("UPDATE checkpoints SET body = ?", (deflate(plain, b"\0"),))
            connection.execute("UPDATE task_writes SET checkpoint = (SELECT max(id) FROM checkpoints)")
    connection.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE checkpoints SET body = x'ffffffff'",
        "UPDATE checkpoints SET body = substr(body, 1, length(body) - 3)",
        "UPDATE bases SET raw = replace(raw, CAST('Step' AS BLOB), CAST('Stop' AS BLOB))",
        "UPDATE task_writes SET body = x''",
    ],
)
async def test_a_damaged_row_is_reported(store: Store, home: Path, damage: str) -> None:
    app = Agent(1).compiled(await store.saver())
    await app.ainvoke(question("go"), config("t"), durability="sync")
    query(home, damage)
    with pytest.raises(DatabaseUnusable, match="damaged"):
        await app.aget_state(config("t"))


async def test_three_hundred_iterations_with_two_kilobyte_results_stay_small(home: Path) -> None:
    async with await Store.open(home) as store:
        app = Agent(300, result_bytes=2048).compiled(await store.saver())
        values = await app.ainvoke(question("go"), config("t"), durability="sync")
        assert len(values["messages"]) == 601
        assert sum(path.stat().st_size for path in home.iterdir()) < 1750 * 1024
    assert sum(path.stat().st_size for path in home.iterdir()) < 1300 * 1024


async def test_threads_of_one_process_run_concurrently(store: Store) -> None:
    saver = await store.saver()
    runs = [Agent(5).compiled(saver).ainvoke(question("go"), config(f"t{n}"), durability="sync") for n in range(5)]
    for values in await asyncio.gather(*runs):
        assert len(values["messages"]) == 11
    for number in range(5):
        assert len((await head(Agent(5).compiled(saver), f"t{number}"))["messages"]) == 11


async def test_processes_run_different_threads_concurrently(home: Path, start: Start) -> None:
    program = """
        import asyncio, sys
        from pathlib import Path
        from ml_intern.store.store import Store
        from tests.store.graphs import Agent, config, question

        async def main():
            async with await Store.open(Path(sys.argv[1])) as store:
                app = Agent(20).compiled(await store.saver())
                await app.ainvoke(question("go"), config(sys.argv[2]), durability="sync")

        asyncio.run(main())
    """
    processes = [start(program, home, f"t{number}") for number in range(4)]
    await asyncio.gather(*(asyncio.to_thread(finish, process) for process in processes))
    assert [process.returncode for process in processes] == [0] * 4
    async with await Store.open(home) as store:
        app = Agent(20).compiled(await store.saver())
        assert [len((await head(app, f"t{number}"))["messages"]) for number in range(4)] == [41] * 4


async def test_the_lineage_of_a_thread_shows_the_starts_of_its_turns(store: Store) -> None:
    app = Agent(1).compiled(await store.saver())
    for turn in (1, 2):
        await app.ainvoke(question("go", turn), config("t"), durability="sync")
    checkpoint_refs = await store.checkpoints.lineage("t")
    assert [link.source for link in checkpoint_refs].count("input") == 2
    assert [link.parent for link in checkpoint_refs[:-1]] == [link.id for link in checkpoint_refs[1:]]
    assert checkpoint_refs[-1].parent is None
    assert await store.checkpoints.lineage("t", checkpoint_refs[3].id) == checkpoint_refs[3:]
    assert await store.checkpoints.lineage("nobody") == []


async def test_a_copy_of_the_file_made_during_a_run_opens(store: Store, home: Path, tmp_path: Path) -> None:
    await Agent(3).compiled(await store.saver()).ainvoke(question("go"), config("t"), durability="sync")
    copy = tmp_path / "copy"
    copy.mkdir(mode=0o700)
    for path in home.glob(f"{DATABASE_NAME}*"):
        shutil.copy(path, copy)
    async with await Store.open(copy) as other:
        assert len((await head(Agent(3).compiled(await other.saver()), "t"))["messages"]) == 7
