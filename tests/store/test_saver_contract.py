"""The checkpointer fulfils LangGraph's contract: for any operations it answers like LangGraph's own saver."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.base import BaseCheckpointSaver, empty_checkpoint
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT, RESUME
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.types import Interrupt

from ml_intern.store.checkpoints.saver import Saver
from ml_intern.store.store import Store
from tests.store.graphs import Agent, config, question

pytestmark = pytest.mark.sqlite_file


THREADS = ("3f2c1a5e-0000-4000-8000-000000000001", "no uuid")
CHANNELS = ("messages", "plan", "guard", INTERRUPT, RESUME, ERROR)


@pytest.fixture
async def saver(store: Store) -> BaseCheckpointSaver[Any]:
    return await store.saver()


@pytest.fixture
async def theirs(tmp_path: Path) -> AsyncIterator[AsyncSqliteSaver]:
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "theirs.db")) as opened:
        opened.serde = JsonPlusSerializer(allowed_msgpack_modules=[])
        yield opened


def address(thread: str, namespace: str, id: str | None) -> Any:
    named = {"thread_id": thread, "checkpoint_ns": namespace}
    return {"configurable": named | ({"checkpoint_id": id} if id else {})}


class Operations:
    """A random history of checkpoints and writes with branches, repeats and long values, run on several savers."""

    def __init__(self, seed: int, *savers: BaseCheckpointSaver[Any]) -> None:
        self.random = random.Random(seed)
        self.savers = savers
        self.made: list[Any] = []

    def value(self) -> Any:
        choices = [
            None, 1, "text" * self.random.randrange(500), {"a": [1, 2.5, None]}, b"bytes",
            [HumanMessage("hi", id=str(self.random.random()))], Interrupt(value="may it?", id="i"),
        ]  # fmt: skip
        return self.random.choice(choices)

    async def put(self) -> None:
        thread, namespace = self.random.choice(THREADS), self.random.choice(("", "child:1"))
        earlier = [one for one in self.made if one["configurable"]["thread_id"] == thread]
        earlier = [one for one in earlier if one["configurable"]["checkpoint_ns"] == namespace]
        parent = self.random.choice(earlier[-3:]) if earlier else address(thread, namespace, None)
        values = {name: self.value() for name in self.random.sample(CHANNELS[:3], self.random.randrange(4))}
        again = earlier and self.random.random() < 0.1
        checkpoint: Any = {**empty_checkpoint(), "channel_values": values, "channel_versions": dict.fromkeys(values, 1)}
        checkpoint["id"] = parent["configurable"]["checkpoint_id"] if again else checkpoint["id"]
        metadata: Any = {"source": self.random.choice(("input", "loop")), "step": len(self.made), "parents": {}}
        for saver in self.savers:
            kept = await saver.aput(parent, checkpoint, metadata, {})
        self.made.append(kept)

    async def put_writes(self) -> None:
        if not self.made:
            return
        where = self.random.choice(self.made[-4:])
        writes = [(self.random.choice(CHANNELS), self.value()) for _ in range(self.random.randrange(1, 4))]
        task, path = self.random.choice((THREADS[0], "t2")), self.random.choice(("", "~a", "~b"))
        for saver in self.savers:
            await saver.aput_writes(where, writes, task, path)


def plain(found: Any) -> Any:
    """Return a checkpoint tuple without the additional config keys, which may differ."""
    if found is None:
        return None
    named = {key: found.config["configurable"][key] for key in ("thread_id", "checkpoint_ns", "checkpoint_id")}
    return named, found.checkpoint, found.metadata, found.parent_config, found.pending_writes


async def listed(saver: BaseCheckpointSaver[Any], where: Any, **options: Any) -> list[Any]:
    return [plain(found) async for found in saver.alist(where, **options)]


@pytest.mark.parametrize("seed", range(8))
async def test_every_answer_equals_that_of_langgraphs_saver(saver: Saver, theirs: AsyncSqliteSaver, seed: int) -> None:
    play = Operations(seed, saver, theirs)
    for _ in range(60):
        await (play.put() if play.random.random() < 0.5 else play.put_writes())
    for where in [
        *play.made,
        *(address(thread, space, None) for thread in (*THREADS, "x") for space in ("", "child:1")),
    ]:
        assert plain(await saver.aget_tuple(where)) == plain(await theirs.aget_tuple(where))
        ours = await saver.aget_delta_channel_history(config=where, channels=["messages", "plan", "never"])
        assert ours == await theirs.aget_delta_channel_history(config=where, channels=["messages", "plan", "never"])


@pytest.mark.parametrize("seed", range(4))
async def test_lists_equal_those_of_langgraphs_saver(saver: Saver, theirs: AsyncSqliteSaver, seed: int) -> None:
    play = Operations(seed, saver, theirs)
    for _ in range(60):
        await (play.put() if play.random.random() < 0.5 else play.put_writes())
    middle = play.made[len(play.made) // 2]
    thread = {"configurable": {"thread_id": THREADS[0]}}
    for where, options in [
        (None, {}), (None, {"limit": 5}), (thread, {}), (middle, {}),
        (address(THREADS[0], "", None), {"before": middle}),
        (thread, {"filter": {"source": "input"}}), (thread, {"filter": {"source": "loop"}, "limit": 2}),
        (thread, {"filter": {"step": 3}}), ({"configurable": {"thread_id": "x"}}, {}),
    ]:  # fmt: skip
        assert await listed(saver, where, **options) == await listed(theirs, where, **options)


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_graph_has_the_same_result_with_both_savers(
    saver: Saver, theirs: AsyncSqliteSaver, durability: str
) -> None:
    ends = []
    for kept in (saver, theirs):
        app = Agent(4).compiled(kept)
        for turn in (1, 2):
            await app.ainvoke(question("go", turn), config("t"), durability=durability)
        states = [state async for state in app.aget_state_history(config("t"))]
        ends.append(
            [(state.values, state.next, state.metadata.get("step"), state.metadata.get("source")) for state in states]
        )
    assert ends[0] == ends[1]


async def test_deleting_a_thread_removes_only_that_thread(saver: Saver) -> None:
    app = Agent(1).compiled(saver)
    for thread in ("a", "b"):
        await app.ainvoke(question("go"), config(thread), durability="sync")
    await saver.adelete_thread("a")
    assert await saver.aget_tuple(config("a")) is None
    assert await listed(saver, config("a")) == []
    assert len((await app.aget_state(config("b"))).values["messages"]) == 3
    assert len((await app.ainvoke(question("go"), config("a"), durability="sync"))["messages"]) == 3


async def test_synchronous_methods_work_from_other_threads(saver: Saver) -> None:
    await Agent(1).compiled(saver).ainvoke(question("go"), config("t"), durability="sync")
    found = await asyncio.to_thread(saver.get_tuple, config("t"))
    assert plain(found) == plain(await saver.aget_tuple(config("t")))
    assert len(await asyncio.to_thread(lambda: list(saver.list(config("t"))))) == 6
    with pytest.raises(asyncio.InvalidStateError):
        saver.get_tuple(config("t"))


async def test_a_cycle_of_parents_terminates(saver: Saver) -> None:
    first, second = empty_checkpoint(), empty_checkpoint()
    for id, parent in ((first["id"], None), (second["id"], first["id"]), (first["id"], second["id"])):
        await saver.aput(address("t", "", parent), {**empty_checkpoint(), "id": id}, {"source": "loop", "step": 1}, {})
    history = await saver.aget_delta_channel_history(config=config("t"), channels=["messages"])
    assert history == {"messages": {"writes": []}}
