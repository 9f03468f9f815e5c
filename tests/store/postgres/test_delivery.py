"""A user's message leaves the queue with the checkpoint that contains it, whenever the process ends."""

from pathlib import Path

from langchain_core.messages import HumanMessage

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
