"""A real sshd on loopback, with keys of its own, and a bench whose settings name it as the target `box`."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ml_intern.execution.call import ToolResult
from ml_intern.execution.run import run_call
from ml_intern.runs.poll import poll, stop
from ml_intern.store.runs import RunRow
from tests.execution.conftest import Bench, alive, until

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


@dataclass
class Sshd:
    """A server that accepts one key. `folder` has its files, `config` is for the client."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        return self.folder / "client"

    def start(self) -> None:
        self.process = subprocess.Popen([SSHD, "-D", "-e", "-f", self.folder / "server"], stderr=subprocess.DEVNULL)
        for _ in range(600):
            with closing(socket.socket()) as channel:
                if channel.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self.process.poll() is not None:
                raise RuntimeError("sshd ended")
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def _free_port() -> int:
    with closing(socket.socket()) as channel:
        channel.bind(("127.0.0.1", 0))
        return int(channel.getsockname()[1])


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Any:
    if not Path(SSHD).exists() or shutil.which("ssh") is None:
        pytest.skip("needs openssh-server and openssh-client")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    folder, port = tmp_path_factory.mktemp("sshd"), _free_port()
    for name in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "authorized_keys").write_text((folder / "user_key.pub").read_text())
    server = {
        "Port": port, "ListenAddress": "127.0.0.1", "HostKey": folder / "host_key", "PidFile": "none",
        "AuthorizedKeysFile": folder / "authorized_keys", "StrictModes": "no", "UsePAM": "no",
        "PasswordAuthentication": "no",
    }  # fmt: skip
    (folder / "server").write_text("".join(f"{name} {value}\n" for name, value in server.items()))
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {(folder / 'host_key.pub').read_text()}")
    client = {
        "Host": "box\n  HostName 127.0.0.1", "Port": port, "IdentityFile": folder / "user_key",
        "IdentitiesOnly": "yes", "UserKnownHostsFile": folder / "known_hosts", "GlobalKnownHostsFile": "none",
    }  # fmt: skip
    (folder / "client").write_text("".join(f"{name} {value}\n" for name, value in client.items()))
    running = Sshd(folder, port)
    running.start()
    login = ["ssh", "-F", str(running.config), "-o", "BatchMode=yes", "box", "python3 -V"]
    tried = subprocess.run(login, capture_output=True, text=True, check=False, timeout=60)
    if tried.returncode:
        running.stop()
        pytest.skip(f"needs an account that sshd lets in, with python3: {tried.stderr.strip()[-200:]}")
    yield running
    running.stop()


def end_connections(folder: Path) -> None:
    """End ssh's shared connections, as a lost network does."""
    sockets = str(folder).encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            is_connection = path.read_bytes().startswith(b"ssh: " + sockets)
        except OSError:
            continue
        if is_connection:
            os.kill(int(path.parent.name), signal.SIGKILL)


class RemoteBench(Bench):
    """A bench with a target in its settings."""

    target: dict[str, Any]
    connections: Path

    def context(self, **choices: Any) -> Any:
        context = super().context(**choices)
        return replace(
            context,
            options=replace(context.options, compute={"box": self.target}),
            user_text="use box with WANDB_API_KEY",
        )

    async def jobs(self, **args: Any) -> ToolResult:
        return await run_call(self.call("jobs", args), self.context())

    async def started(self, **args: Any) -> RunRow:
        result = await self.jobs(operation="run", target="box", **args)
        assert result.ok, result.text
        return (await self.store.runs.list())[-1]

    async def ended(self, row: RunRow) -> RunRow:
        async with asyncio.timeout(60):
            while (row := await poll(self.store, row)).open:  # noqa: ASYNC110 nothing tells of another process
                await asyncio.sleep(0.05)
        return row


async def check_that_everything_ends(box: RemoteBench) -> None:
    """A run that is cancelled and one that reaches its time limit leave no process, not even one that ignores TERM."""
    pids = box.workspace / "pids"
    command = f"(setsid bash -c 'trap \"\" TERM; echo $$ >> {pids}; while :; do sleep 1; done' &) ; sleep 600"
    cancelled = await box.started(command=command)
    await until(lambda: pids.exists() and len(pids.read_text().split()) == 1)
    assert (await stop(box.store, cancelled)).state == "cancelled"
    limited = await box.ended(await box.started(command=command, timeout="1s"))
    assert (limited.state, limited.reason) == ("timeout", "it reached its time limit of 1 s")
    assert not any(alive(int(pid)) for pid in pids.read_text().split())


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
