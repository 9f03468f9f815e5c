"""Queues of machines, pools of machines and sweeps, on a real sshd of this machine that stands for several."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from ml_intern.execution.call import ToolError
from ml_intern.runs.backends.base import RunPlan
from ml_intern.runs.backends.registry import backend_of
from ml_intern.runs.poll import poll, stop
from ml_intern.store.runs import OPEN, RunRow
from tests.execution.conftest import alive, until
from tests.runs.remote.conftest import RemoteBench
from tests.runs.remote.pools import PoolBench

WAITS = "echo begin {n} >> $PLACE; while ! test -e $PLACE.{n}; do sleep 0.05; done; echo end {n} >> $PLACE; echo f1={n}"


class WaitingPool(PoolBench):
    """A pool whose runs note their begin and wait until they may go on."""

    @property
    def place(self) -> Path:
        return self.workspace.parent / "place"

    async def waiting(self, numbers: list[int], target: str = "both", **more: Any) -> list[RunRow]:
        return await self.sweep(WAITS, numbers, target, env={"PLACE": str(self.place)}, **more)

    def go_on(self, number: int) -> None:
        self.place.with_name(f"place.{number}").touch()

    def begun(self) -> list[int]:
        lines = self.place.read_text().splitlines() if self.place.exists() else []
        return [int(line.split()[1]) for line in lines if line.startswith("begin")]

    def status_there(self, row: RunRow) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text_there(row, "status.json"))
        return found

    async def poll_until_begun(self, rows: list[RunRow], number: int) -> None:
        async with asyncio.timeout(60):
            while number not in self.begun():
                for row in rows:
                    await poll(self.store, await self.store.runs.get(row.id) or row)
                await asyncio.sleep(0.05)


@pytest.fixture
def pool(box: RemoteBench) -> WaitingPool:
    box.target["max_runs"] = 1
    return WaitingPool.of(box)


async def test_a_machine_runs_as_many_as_it_may_in_the_order_of_their_start(pool: WaitingPool) -> None:
    rows = await pool.waiting([1, 2, 3], target="red")
    await until(lambda: pool.begun() == [1])
    waiting = await poll(pool.store, rows[1])
    assert (waiting.state, waiting.reason) == ("queued", "waiting for a free slot")
    assert (await stop(pool.store, waiting)).state == "cancelled"
    for number in (1, 3):
        pool.go_on(number)
    ended = [await pool.ended(row) for row in (rows[0], rows[2])]
    assert [row.state for row in ended] == ["succeeded", "succeeded"]
    assert pool.place.read_text().splitlines() == ["begin 1", "end 1", "begin 3", "end 3"]


async def test_a_machine_of_a_pool_runs_as_many_at_once_as_the_sweep_asks_for(pool: WaitingPool) -> None:
    pool.target["max_runs"] = None
    rows = await pool.waiting([1, 2, 3, 4, 5], at_once=2)
    await until(lambda: len(pool.begun()) == 4)
    assert sorted(pool.at(row) for row in rows[:4]) == ["blue", "blue", "red", "red"]
    assert (await poll(pool.store, rows[4])).state == "queued"
    for number in range(1, 6):
        pool.go_on(number)
    assert {(await pool.ended(row)).state for row in rows} == {"succeeded"}


async def test_a_pool_uses_all_its_machines_and_a_waiting_run_moves_to_a_free_one(pool: WaitingPool) -> None:
    rows = await pool.waiting([1, 2, 3, 4])
    await until(lambda: len(pool.begun()) == 2)
    assert {pool.at(row) for row in rows[:2]} == {"red", "blue"}
    busy, free = rows[0], rows[1]
    moves = next(row for row in rows[2:] if pool.at(row) == pool.at(busy))
    stays = next(row for row in rows[2:] if row is not moves)
    await stop(pool.store, stays)
    pool.go_on(rows.index(free) + 1)
    await pool.ended(free)
    await pool.poll_until_begun([moves], rows.index(moves) + 1)
    assert pool.at(moves) == pool.at(free)
    for number in range(1, 5):
        pool.go_on(number)
    moved = await pool.ended(moves)
    assert (moved.state, moved.reason, json.loads(moved.metrics)) == (
        "succeeded", f"on {pool.at(free)}", {"f1": rows.index(moves) + 1},
    )  # fmt: skip
    await pool.ended(busy)
    assert sorted(pool.begun()) == sorted({*pool.begun()})


async def test_a_run_starts_again_elsewhere_once_when_nothing_of_it_is_left(pool: WaitingPool) -> None:
    [row] = await pool.waiting([1])
    await until(lambda: pool.begun() == [1])
    first, before = pool.at(row), pool.status_there(row)
    scripts = [int(one) for one in Path(f"/proc/{before['pid']}/task/{before['pid']}/children").read_text().split()]
    os.kill(before["pid"], signal.SIGKILL)
    assert [alive(pid) for pid in scripts] == [True]
    row = await poll(pool.store, row)
    assert (row.open, [alive(pid) for pid in scripts]) == (True, [False])
    await until(lambda: pool.begun() == [1, 1])
    assert pool.at(row) != first
    os.kill(pool.status_there(row)["pid"], signal.SIGKILL)
    ended = await pool.ended(row)
    assert (ended.state, pool.begun()) == ("lost", [1, 1])
    assert f"ml-intern: {first}: its supervisor was killed; the run starts again elsewhere" in Path(row.log).read_text()


async def test_launches_at_the_same_time_start_one_run(pool: WaitingPool) -> None:
    [row] = await pool.waiting([1])
    await until(lambda: pool.begun() == [1])
    backend, context = backend_of("pool", pool.store), pool.context()
    plan = RunPlan("pool", "other", pool.workspace, ("bash", "-c", "false"), target="both", limit_s=60)
    await asyncio.gather(*(backend.launch(plan, row.id, context) for _ in range(4)))
    fresh = f"{row.id}0"
    command = ("bash", "-c", f"echo begin 9 >> {pool.place}")
    plan = RunPlan("pool", "other", pool.workspace, command, target="both", limit_s=60, slots=1)
    await asyncio.gather(*(backend.launch(plan, fresh, context) for _ in range(4)))
    pool.go_on(1)
    assert (await pool.ended(row)).state == "succeeded"
    await until(lambda: 9 in pool.begun())
    assert pool.begun() == [1, 9]


async def test_a_member_that_cannot_be_reached_is_left_out(pool: WaitingPool) -> None:
    context = pool.context()
    context.options.compute["red"]["port"] = 1
    backend = backend_of("pool", pool.store)
    plan = RunPlan("pool", "x", pool.workspace, ("bash", "-c", "true"), target="both", limit_s=60)
    handle = await backend.launch(plan, "run-reached", context)
    async with asyncio.timeout(60):
        while (status := await backend.inspect(handle)).state in OPEN:  # noqa: ASYNC110 another process ends it
            await asyncio.sleep(0.05)
    assert (status.state, status.reason) == ("succeeded", "on blue")
    context.options.compute["blue"]["port"] = 1
    result = await backend_refusal(pool, context)
    assert result.startswith("no member of both can be used: ")
    assert "red cannot be reached" in result


async def backend_refusal(pool: WaitingPool, context: Any) -> str:
    plan = RunPlan("pool", "x", pool.workspace, ("bash", "-c", "true"), target="both", limit_s=60)
    with pytest.raises(ToolError) as refused:
        await backend_of("pool", pool.store).launch(plan, "run-refused", context)
    return str(refused.value)
