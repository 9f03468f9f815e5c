"""A real sshd on loopback, with keys of its own, and a bench whose settings name it as the target `box`."""

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ml_intern.execution.call import ToolResult
from ml_intern.execution.run import run_call
from ml_intern.runs.poll import poll, stop
from ml_intern.store.runs import RunRow
from tests.execution.conftest import Bench, alive, until
from tests.runs.remote.sshd import Sshd, end_connections, sshd_on_loopback


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with ExitStack() as stack:
        try:
            running = stack.enter_context(sshd_on_loopback(tmp_path_factory.mktemp("sshd")))
        except RuntimeError as missing:
            pytest.skip(str(missing))
        yield running


class RemoteBench(Bench):
    """A bench with a target in its settings."""

    target: dict[str, Any]
    connections: Path
    patience: float = 60
    """The longest wait for the end of a run, in seconds."""

    def context(self, **choices: Any) -> Any:
        context = super().context(**choices)
        return replace(
            context,
            options=replace(context.options, compute={"box": self.target}),
            user_text="use box with WANDB_API_KEY and HF_TOKEN, and upload to ada/net",
        )

    async def jobs(self, **args: Any) -> ToolResult:
        return await run_call(self.call("jobs", args), self.context())

    async def started(self, **args: Any) -> RunRow:
        result = await self.jobs(operation="run", target="box", **args)
        assert result.ok, result.text
        return (await self.store.runs.list())[-1]

    async def ended(self, row: RunRow, seconds: float = 0) -> RunRow:
        async with asyncio.timeout(seconds or self.patience):
            while (row := await poll(self.store, row)).open:  # noqa: ASYNC110 nothing tells of another process
                await asyncio.sleep(self.patience / 1200)
        return row


async def check_that_everything_ends(box: RemoteBench) -> None:
    """A run that is cancelled and one that reaches its time limit leave no process, not even one that ignores TERM."""
    pids = box.workspace / "pids"
    command = f"(setsid bash -c 'trap \"\" TERM; echo $$ >> {pids}; while :; do sleep 1; done' &) ; sleep 600"
    cancelled = await box.started(command=command)
    await until(lambda: pids.exists() and len(pids.read_text().split()) == 1, box.patience)
    assert (await stop(box.store, cancelled)).state == "cancelled"
    limited = await box.ended(await box.started(command=command, timeout="1s"))
    assert (limited.state, limited.reason) == ("timeout", "it reached its time limit of 1 s")
    assert not any(alive(int(pid)) for pid in pids.read_text().split())


@pytest.fixture
def stand_in(bench: Bench) -> Callable[[str, str], None]:
    """Write a program that stands in for another one: it runs a text, then the rest of its arguments but the first."""
    folder = bench.workspace.parent / "programs"

    def write(name: str, text: str) -> None:
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(f'#!/bin/sh\n{text}\nshift\nexec "$@"\n')
        (folder / name).chmod(0o755)

    return write


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of its own, with a short path, for ssh's shared connections, which end with the test."""
    with tempfile.TemporaryDirectory(prefix="ssh") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)
        end_connections(Path(folder))


@pytest.fixture
async def box(bench: Bench, sshd: Sshd, tmp_path: Path, connections: Path) -> RemoteBench:
    found = RemoteBench(bench.store, bench.workspace, bench.services)
    found.target = {
        "kind": "ssh", "host": "box", "ssh_config": str(sshd.config), "workdir": str(tmp_path / "there"),
    }  # fmt: skip
    found.connections = connections
    return found
