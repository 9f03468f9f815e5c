"""Background runs: states, results, unreported runs, and costs."""

import pytest

from ml_intern.configs.errors import LimitReached
from ml_intern.store.ledger import CostReservation
from ml_intern.store.runs import RunEnding, RunRow
from ml_intern.store.store import Store


async def test_a_run_is_pending_until_it_ends(store: Store) -> None:
    await store.runs.add(RunRow("r1", "t", "python train.py", "queued"))
    assert await store.runs.pending("t")
    await store.runs.update("r1", state="running", handle="{}", started=5.0)
    assert await store.runs.pending("t")
    assert await store.runs.finished_unreported("t", []) == []
    assert await store.runs.end("r1", RunEnding("succeeded", 0, tail="loss 0.1", finished=9.0))
    assert not await store.runs.pending("t")
    expected = RunRow(
        "r1", "t", "python train.py", "succeeded",
        handle="{}", exit_code=0, tail="loss 0.1", cost_usd=0.0, started=5.0, finished=9.0,
    )  # fmt: skip
    assert await store.runs.get("r1") == expected


async def test_an_end_is_recorded_once_and_is_final(store: Store) -> None:
    await store.runs.add(RunRow("r", "t", "true"))
    assert await store.runs.end("r", RunEnding("failed", 3))
    assert not await store.runs.end("r", RunEnding("succeeded", 0))
    await store.runs.update("r", state="running")
    row = await store.runs.get("r")
    assert row is not None
    assert (row.state, row.exit_code) == ("failed", 3)


async def test_unreported_runs_are_listed_oldest_first_per_thread(store: Store) -> None:
    for id, thread in (("b", "t"), ("a", "t"), ("c", "other")):
        await store.runs.add(RunRow(id, thread, "true"))
        await store.runs.end(id, RunEnding("failed", 1))
    assert [row.id for row in await store.runs.finished_unreported("t", [])] == ["b", "a"]
    assert [row.id for row in await store.runs.finished_unreported("t", ["b"])] == ["a"]
    assert [row.id for row in await store.runs.list("other")] == ["c"]


async def test_an_unknown_run_is_none_and_cannot_be_changed(store: Store) -> None:
    assert await store.runs.get("r") is None
    with pytest.raises(KeyError):
        await store.runs.update("r", state="running")
    assert not await store.runs.end("r", RunEnding("succeeded"))


async def test_a_paid_run_is_reserved_when_added_and_settled_when_ended(store: Store) -> None:
    await store.runs.add(
        RunRow("r", "t", "train", hardware="a10g-small", backend="hub"), CostReservation(4.0, cap_usd=5.0)
    )
    with pytest.raises(LimitReached):
        await store.runs.add(RunRow("second", "t", "train", backend="hub"), CostReservation(4.0, cap_usd=5.0))
    assert await store.runs.get("second") is None
    assert (await store.ledger.total("t")).open_requests == 1
    await store.runs.end("r", RunEnding("succeeded", 0, cost_usd=1.5))
    assert (await store.ledger.total("t")).known_cost_usd == 1.5
    assert [(one.source, one.model) for one in await store.ledger.by_source("t")] == [("job", "a10g-small")]


async def test_an_open_run_survives_the_deletion_of_its_thread(store: Store) -> None:
    await store.threads.create(id="t", title="", folder="/f")
    for id in ("open", "over"):
        await store.runs.add(RunRow(id, "t", "true"))
        (store.home / "runs" / id).mkdir(parents=True)
    await store.runs.end("over", RunEnding("succeeded", 0))
    await store.delete("t")
    assert [row.id for row in await store.runs.unfinished()] == ["open"]
    assert await store.runs.get("over") is None
    assert [folder.name for folder in (store.home / "runs").iterdir()] == ["open"]
