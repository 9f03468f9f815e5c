"""The files of trackers come from where a run wrote them, and only those that this run wrote."""

import asyncio
import gzip
import json
from pathlib import Path

from ml_intern.runs.poll import poll
from ml_intern.store.runs import RunRow
from tests.execution.conftest import Bench, until
from tests.runs.remote.conftest import RemoteBench, box, connections, sshd

__all__ = ["box", "connections", "sshd"]

WRITTEN = Path(__file__).parent / "written"
OLD = "mlruns/0/5f/metrics/acc"


def prepare(bench: Bench) -> None:
    """Put an old metric into the workspace, and a file that a run unpacks as its own."""
    (bench.workspace / "new.gz").write_bytes((WRITTEN / "events.out.tfevents.1.box.gz").read_bytes())
    old = bench.workspace / OLD
    old.parent.mkdir(parents=True)
    old.write_bytes(gzip.decompress((WRITTEN / "loss.gz").read_bytes()))


COMMAND = "mkdir logs; gunzip -c new.gz > logs/events.out.tfevents.1.box; echo acc=9"


async def ended(bench: Bench, row: RunRow) -> RunRow:
    async with asyncio.timeout(120):
        while (row := await poll(bench.store, row)).open:  # noqa: ASYNC110 nothing tells of another process
            await asyncio.sleep(0.05)
    return row


async def test_from_another_machine(box: RemoteBench) -> None:
    prepare(box)
    row = await box.ended(await box.started(command=COMMAND))
    assert json.loads(row.metrics) == {"acc": 0.5, "train/loss": 0.20000000298023224, "step": 4.0}


async def test_from_the_working_folder(bench: Bench) -> None:
    prepare(bench)
    assert (await bench.run("bash", command=COMMAND, background=True)).ok
    row = await ended(bench, (await bench.store.runs.list())[-1])
    assert json.loads(row.metrics) == {"acc": 0.5, "train/loss": 0.20000000298023224, "step": 4.0}


async def test_files_of_runs_side_by_side_in_one_folder_are_not_attributed(bench: Bench) -> None:
    prepare(bench)
    for command in ("touch begun; until [ -e stop ]; do sleep 0.1; done", f"{COMMAND}; touch stop"):
        assert (await bench.run("bash", command=command, background=True)).ok
        await until((bench.workspace / "begun").exists)
    other, row = await bench.store.runs.list()
    assert json.loads((await ended(bench, row)).metrics) == {"acc": 9.0}
    assert json.loads((await ended(bench, other)).metrics) == {}
