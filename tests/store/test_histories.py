"""The checkpointer's cache of histories does not change what is read."""

from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.types import Overwrite

from ml_intern.store.checkpoints import histories
from ml_intern.store.checkpoints.histories import Histories, HistoryStep
from ml_intern.store.checkpoints.rows import ThreadNamespace
from ml_intern.store.checkpoints.saver import Saver
from ml_intern.store.store import Store
from tests.store.graphs import Agent, config, question

pytestmark = pytest.mark.sqlite_file


NAMESPACE = ThreadNamespace("t")


def texts(values: dict[str, Any]) -> list[str]:
    return [str(message.id) for message in values["messages"]]


async def states(store: Store) -> dict[str, Any]:
    """Return the state at every checkpoint of the thread as this store reads it, latest first."""
    app = Agent(2).compiled(await store.saver())
    line = await store.checkpoints.lineage("t")
    return {link.id: (await app.aget_state(config("t", link.id))).values for link in line}


async def test_every_state_is_the_same_with_and_without_the_cache(store: Store) -> None:
    app = Agent(2).compiled(await store.saver())
    for turn in range(1, 5):
        await app.ainvoke(question("go", turn), config("t"), durability="sync")
        if turn == 2:
            summary = {"messages": Overwrite([HumanMessage("so far", id="summary")])}
            await app.aupdate_state(config("t"), summary, as_node="execute_tools")
    async with await Store.open(store.home) as fresh:
        from_disk = {}
        for id in list(await states(fresh)):
            async with await Store.open(store.home) as one:
                app = Agent(2).compiled(await one.saver())
                from_disk[id] = (await app.aget_state(config("t", id))).values
    assert await states(store) == from_disk
    assert await states(store) == from_disk


async def test_changing_a_state_that_was_read_does_not_change_others(store: Store) -> None:
    app = Agent(2).compiled(await store.saver())
    await app.ainvoke(question("go"), config("t"), durability="sync")
    await app.aupdate_state(config("t"), {"messages": Overwrite([HumanMessage("a", id="a")])}, as_node="execute_tools")
    await app.aupdate_state(config("t"), {"plan": []}, as_node="execute_tools")
    first = (await app.aget_state(config("t"))).values
    first["messages"].append(HumanMessage("mine", id="mine"))
    first["recent_calls"].clear()
    second = (await app.aget_state(config("t"))).values
    assert texts(second) == ["a"]
    assert len(second["recent_calls"]) == 2


async def test_a_checkpoint_that_is_saved_again_is_read_again(store: Store) -> None:
    saver = await store.saver()
    assert isinstance(saver, Saver)
    app = Agent(1).compiled(saver)
    await app.ainvoke(question("go"), config("t"), durability="sync")
    line = await store.checkpoints.lineage("t")
    before = texts((await app.aget_state(config("t"))).values)
    found = await saver.aget_tuple(config("t", line[-2].id))
    assert found is not None
    found.checkpoint["channel_values"]["messages"] = [HumanMessage("other", id="other")]
    parent = found.parent_config
    assert parent is not None
    await saver.aput(parent, found.checkpoint, found.metadata, {})
    assert texts((await app.aget_state(config("t"))).values) != before
    await saver.adelete_thread("t")
    assert (await app.aget_state(config("t"))).values == {}


def test_a_history_with_a_missing_step_is_an_error() -> None:
    known = Histories()
    known.remember(NAMESPACE, "messages", "b", HistoryStep("a", [("task", "messages", 2)]))
    assert known.find_gap(NAMESPACE, "messages", "c", "b") == "a"
    with pytest.raises(KeyError):
        known.history(NAMESPACE, "messages", "c", "b")
    known.remember(NAMESPACE, "messages", "a", HistoryStep(None, [("task", "messages", 1)]))
    assert known.history(NAMESPACE, "messages", "c", "b") == {
        "writes": [("task", "messages", 1), ("task", "messages", 2)]
    }


def test_a_full_cache_is_cleared_completely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histories, "MAX_STEPS", 3)
    known = Histories()
    for number in range(4):
        known.remember(NAMESPACE, "messages", str(number), HistoryStep(None, []))
    known.evict_if_full()
    assert not any(known.has_step(NAMESPACE, "messages", str(number)) for number in range(4))


def test_a_cache_that_was_cleared_or_forgot_steps_fills_up_again_before_it_is_cleared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(histories, "MAX_STEPS", 3)
    known, other = Histories(), ThreadNamespace("other")
    for number in range(4):
        known.remember(NAMESPACE, "messages", str(number), HistoryStep(None, []))
    known.evict_if_full()
    for number in range(3):
        known.remember(NAMESPACE, "messages", str(number), HistoryStep(None, []))
        known.remember(other, "messages", str(number), HistoryStep(None, []))
    known.forget_thread("other")
    known.forget(NAMESPACE, "2")
    known.remember(NAMESPACE, "messages", "3", HistoryStep(None, []))
    known.evict_if_full()
    assert [known.has_step(NAMESPACE, "messages", str(number)) for number in range(4)] == [True, True, False, True]
    assert not known.has_step(other, "messages", "0")
