"""A user's message leaves the queue with the checkpoint that contains it, whenever the process ends."""

from pathlib import Path

from langchain_core.messages import HumanMessage
from langgraph.checkpoint.base import empty_checkpoint

from ml_intern.store.journal import CallKey
from ml_intern.store.queue import QueuedRow
from ml_intern.store.store import Store
from tests.fakes.postgres import PostgresServer
from tests.store.graphs import Agent, config, question


async def begin_turn(store: Store, number: int) -> list[str]:
    """Write a message as the input of a turn, and return the ids of the user's messages in the conversation."""
    app = Agent(1).compiled(await store.saver())
    await app.aupdate_state(config("t"), question("go", number), as_node="__start__")
    values = (await app.aget_state(config("t"))).values
    return [str(message.id) for message in values["messages"] if isinstance(message, HumanMessage)]


async def test_a_message_whose_checkpoint_was_not_saved_is_still_queued(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    url = postgres.new_database()
    async with await Store.open(tmp_path / "a", url=url) as store:
        await begin_turn(store, 1)
        await store.queue.add("t", QueuedRow("user-2", {"text": "go"}), folder="", title="")
        saver = await store.saver()
        found = await saver.aget_tuple(config("t"))
        assert found is not None
        await saver.aput_writes(found.config, [*question("go", 2).items()], "b7e23ec2-9f0a-4bf0-8e0c-6a7b0c4f9d11")
        # the process ends here
    async with await Store.open(tmp_path / "b", url=url) as store:
        assert [row.id for row in await store.queue.list("t")] == ["user-2"]
        assert await begin_turn(store, 2) == ["user-1", "user-2"]
        assert await store.queue.list("t") == []
        assert await begin_turn(store, 3) == ["user-1", "user-2", "user-3"]


async def test_a_step_is_committed_before_the_call_that_follows_it(tmp_path: Path, postgres: PostgresServer) -> None:
    url = postgres.new_database()
    async with await Store.open(tmp_path / "a", url=url) as store, await Store.open(tmp_path / "b", url=url) as other:
        saver, theirs = await store.saver(), await other.saver()
        first = empty_checkpoint()
        begun = await saver.aput(
            {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}, first, {"source": "input"}, {}
        )
        await saver.aput_writes(begun, [("plan", "p")], "b7e23ec2-9f0a-4bf0-8e0c-6a7b0c4f9d11")
        step = empty_checkpoint()
        step["channel_values"] = {"branch:to:tools": None}
        await saver.aput(begun, step, {"source": "loop", "step": 1}, {})
        await store.journal.start(CallKey("t", "m", 0), "bash", "d")
        found = await theirs.aget_tuple(config("t"))
        assert found is not None
        assert found.checkpoint["id"] == step["id"]
        before = await theirs.aget_tuple(begun)
        assert before is not None
        assert [(channel, value) for _, channel, value in before.pending_writes or []] == [("plan", "p")]
