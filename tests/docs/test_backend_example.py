"""The package in docs/adding-a-backend.md is installed as it stands there and runs a job."""

import asyncio
import json
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ml_intern.execution.run import run_call
from ml_intern.runs.backends.registry import backend_names, backend_spec
from ml_intern.runs.poll import poll, stop
from ml_intern.store.runs import RunRow
from tests.execution.conftest import Bench, bench, until

__all__ = ["bench"]
PAGE = Path(__file__).parents[2] / "docs" / "adding-a-backend.md"
QUEUE = """#!/bin/sh
place=$(dirname "$0")/queue/$2
case $1 in
submit)
    mkdir -p "$(dirname "$place")"; mkdir "$place" || exit 1; cp "$3" "$place/script"
    setsid sh -c 'sh "$1/script" > "$1/log" 2>&1; echo "ended $?" > "$1/new"; mv "$1/new" "$1/end"' sh "$place" \\
        > /dev/null 2>&1 < /dev/null & echo $! > "$place/pid" ;;
state)
    if [ ! -d "$place" ]; then echo unknown
    elif [ -e "$place/end" ]; then cat "$place/end"
    else echo running; fi ;;
log) cat "$place/log" 2> /dev/null || true ;;
stop) echo stopped > "$place/end"; kill -s KILL -- "-$(cat "$place/pid")" ;;
esac
"""
"""A program that stands in for lab-queue."""


@pytest.fixture
def lab(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A bench with the package of the page installed."""
    blocks = dict(re.findall(r"```(toml|python)\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL))
    project = tomllib.loads(blocks["toml"])["project"]
    site, programs = tmp_path / "site", tmp_path / "programs"
    information = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    information.mkdir(parents=True)
    (site / "ml_intern_labqueue.py").write_text(blocks["python"])
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    entries = [f"{name} = {target}" for name, target in project["entry-points"]["ml_intern.compute"].items()]
    (information / "entry_points.txt").write_text("\n".join(["[ml_intern.compute]", *entries]))
    programs.mkdir()
    (programs / "lab-queue").write_text(QUEUE)
    (programs / "lab-queue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.syspath_prepend(str(site))
    yield bench
    sys.modules.pop("ml_intern_labqueue", None)


async def started(lab: Bench, **args: object) -> RunRow:
    context = replace(lab.context(), user_text="use the labqueue lab")
    result = await run_call(lab.call("jobs", {"operation": "run", "backend": "labqueue", **args}), context)
    assert result.ok, result.text
    return (await lab.store.runs.list())[-1]


async def test_a_run_in_the_queue_of_the_example_ends_with_its_log_metrics_and_price(lab: Bench) -> None:
    assert backend_names()[-1] == "labqueue"
    row = await started(lab, script="print('loss=0.25')\nraise SystemExit(3)\n", timeout="1h")
    assert (row.hardware, row.usd_per_hour) == ("lab", 1.5)
    async with asyncio.timeout(60):
        while (row := await poll(lab.store, row)).open:  # noqa: ASYNC110 nothing tells of another process
            await asyncio.sleep(0.05)
    assert (row.state, row.exit_code, json.loads(row.metrics), row.tail) == ("failed", 3, {"loss": 0.25}, "loss=0.25\n")


async def test_a_run_in_the_queue_of_the_example_is_cancelled_and_starts_once(lab: Bench, tmp_path: Path) -> None:
    row = await started(lab, command="sleep 600", timeout="1h")
    queued = tmp_path / "programs" / "queue"
    assert [one.name for one in queued.iterdir()] == [row.id]
    assert await backend_spec("labqueue").open(lab.store).find(row.id) == row.id
    assert not await backend_spec("labqueue").open(lab.store).abandon(row.id)
    await until((queued / row.id / "pid").exists)
    assert (await stop(lab.store, row)).state == "cancelled"


async def test_what_the_example_cannot_do_is_refused(lab: Bench) -> None:
    context = replace(lab.context(), user_text="use the labqueue lab")
    asked = {"operation": "run", "backend": "labqueue", "command": "true", "nodes": 2}
    refused = await run_call(lab.call("jobs", asked), context)
    assert "backend labqueue uses one machine for a run: leave nodes out" in refused.text
