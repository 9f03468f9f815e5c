"""Background runs: what runs, what ended, and what the model has not been told."""

import pytest

from store.runs import RunRow
from store.store import Store


async def test_a_run_is_pending_until_it_reaches_any_other_state(store: Store) -> None:
    await store.runs.add(RunRow("r1", "t", "python train.py"))
    assert await store.runs.pending("t")
    assert await store.runs.finished_unreported("t", []) == []
    await store.runs.update("r1", state="finished", exit_code=0, tail="loss 0.1")
    assert not await store.runs.pending("t")
    assert await store.runs.get("r1") == RunRow("r1", "t", "python train.py", "finished", 0, "loss 0.1")


async def test_finished_runs_are_told_once_oldest_first_and_per_thread(store: Store) -> None:
    for id, thread in (("b", "t"), ("a", "t"), ("c", "other")):
        await store.runs.add(RunRow(id, thread, "true"))
        await store.runs.update(id, state="failed", exit_code=1)
    assert [row.id for row in await store.runs.finished_unreported("t", [])] == ["b", "a"]
    assert [row.id for row in await store.runs.finished_unreported("t", ["b"])] == ["a"]
    assert [row.id for row in await store.runs.list("other")] == ["c"]


async def test_an_unknown_run_is_none_and_cannot_be_changed(store: Store) -> None:
    assert await store.runs.get("r") is None
    with pytest.raises(KeyError):
        await store.runs.update("r", state="finished")
