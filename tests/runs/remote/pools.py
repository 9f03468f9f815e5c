"""Two members of one pool, and a sweep by Optuna, for machines and for clusters."""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest

from ml_intern.runs.run_folder import run_folder
from ml_intern.store.runs import RunRow
from tests.runs.remote.conftest import RemoteBench


class PoolBench(RemoteBench):
    """A bench with two targets of one kind, `red` and `blue`, which are members of the pool `both`."""

    changes: Mapping[str, dict[str, Any]]
    """What is different in the settings of a member."""

    @classmethod
    def of(cls, box: RemoteBench) -> Self:
        """A pool of two targets like that of the bench."""
        found = cls(box.store, box.workspace, box.services)
        found.target, found.changes, found.calls, found.patience = box.target, {}, box.calls, box.patience
        return found

    def context(self, **choices: Any) -> Any:
        context = super().context(**choices)
        there = Path(self.target["workdir"])
        members = {
            name: {**self.target, "workdir": str(there / name), **self.changes.get(name, {})}
            for name in ("red", "blue")
        }
        context.options.compute.clear()
        context.options.compute.update({**members, "both": {"kind": "pool", "members": ["red", "blue"]}})
        return replace(context, user_text="use red or both")

    async def sweep(self, command: str, numbers: list[int], target: str = "both", **more: Any) -> list[RunRow]:
        """Start a run of the command for each number."""
        known = len(await self.store.runs.list())
        result = await self.jobs(operation="sweep", target=target, command=command, parameters={"n": numbers}, **more)
        assert result.ok, result.text
        return list(await self.store.runs.list())[known:]

    def at(self, row: RunRow) -> str:
        """The member that a run is on."""
        return str(json.loads((run_folder(self.store.home, row.id) / "target.json").read_text())["name"])

    def text_there(self, row: RunRow, name: str) -> str:
        """A file of the run's folder on its member; empty without it."""
        path = Path(self.target["workdir"]) / self.at(row) / "runs" / row.id / name
        return path.read_text() if path.exists() else ""


async def optuna_sweep(box: RemoteBench) -> list[RunRow]:
    """Start four runs of a sweep by Optuna, two at once, and return them."""
    pytest.importorskip("optuna")
    box.target["setup"] = f"export PATH={Path(sys.executable).parent}:$PATH"
    box.file("work/train.py", "import sys\nprint(f'eval_loss={(float(sys.argv[2]) - 3) ** 2}')\n")
    result = await box.jobs(
        operation="sweep", target="box", method="optuna", metric="eval_loss", samples=4, at_once=2,
        script="work/train.py", parameters={"x": {"low": -10.0, "high": 10.0}},
    )  # fmt: skip
    assert result.ok, result.text
    return list(await box.store.runs.list())


async def check_that_they_share_a_study(box: RemoteBench, rows: list[RunRow]) -> None:
    """The runs of a sweep by Optuna succeed as the trials of one study, which is a file on their machine."""
    ended = [await box.ended(row, seconds=120) for row in rows]
    assert {row.state for row in ended} == {"succeeded"}, [row.tail for row in ended]
    numbers = sorted(int(row.tail.partition("optuna: trial ")[2].partition(":")[0]) for row in ended)
    assert numbers == [0, 1, 2, 3]
    assert [path.suffix for path in (Path(box.target["workdir"]) / "studies").iterdir()] == [".optuna"]
