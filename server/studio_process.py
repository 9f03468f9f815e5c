"""LangGraph's server as a child process: on loopback, without tracing, stopped with all its processes."""

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import ml_intern
from ml_intern.configs.errors import MLInternError, TemporaryError
from ml_intern.configs.paths import data_home, private_folder
from ml_intern.server.options import VARIABLE, ServedOptions
from ml_intern.server.token import HEADER, new_token, token_digest

if TYPE_CHECKING:
    from asyncio.subprocess import Process

HOST = "127.0.0.1"
DEFAULT_PORT = 2024
START_SECONDS = 120.0
GRAPH = "agent"
JOBS = 10
"""Maximum number of concurrent runs, each on its own thread."""
ROOT = Path(ml_intern.__file__).resolve().parent.parent

SERVED: Mapping[str, Any] = {
    "dependencies": [str(ROOT)],
    "graphs": {GRAPH: "ml_intern.server.studio:graph"},
    "checkpointer": {"path": "ml_intern.server.studio.checkpointer"},
    "http": {"app": "ml_intern.server.studio:app", "disable_a2a": True, "disable_mcp": True, "disable_webhooks": True},
}
"""The content of langgraph.json with module names, because an installed package has no such file."""

QUIET = {
    "LANGSMITH_TRACING": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "LANGGRAPH_CLI_NO_ANALYTICS": "1",
    "LANGGRAPH_NO_VERSION_CHECK": "true",
    "LANGGRAPH_STRICT_MSGPACK": "true",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}
_THEIRS = ("LANGSMITH_", "LANGCHAIN_", "LANGGRAPH_", "LANGSERVE_", "BG_JOB_", "CORS_")
"""Prefixes of variables that change the server's behaviour or tracing. Only the values in QUIET are passed on."""

_STOPS = ((signal.SIGINT, 3.0), (signal.SIGINT, 7.0), (signal.SIGKILL, 5.0))
"""Signals that stop the server, each with the seconds to wait. After the first SIGINT it waits for its clients."""


@dataclass(frozen=True)
class Server:
    """The running server. Its output goes to `log`."""

    process: "Process"
    url: str
    log: Path
    token: str

    @property
    def address(self) -> str:
        """Return the address that contains the token."""
        return f"{self.url}/{self.token}"

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers that requests need."""
        return {HEADER: self.token}

    @classmethod
    async def start(cls, folder: Path, port: int, served: ServedOptions) -> Self:
        """Start the server with `folder`, a server_folder, for its own files."""
        config = folder / "langgraph.json"
        config.write_text(json.dumps(SERVED), encoding="utf-8")
        token = new_token()
        served = replace(served, token_digest=token_digest(token))
        log = private_folder(data_home() / "logs") / f"studio-{port}.log"
        words = ("--config", str(config), "--host", HOST, "--port", str(port), "--n-jobs-per-worker", str(JOBS))
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-m", "langgraph_cli", "dev", *words, "--no-browser", "--no-reload",
                cwd=folder,
                env=server_environment(os.environ, served),
                stdin=asyncio.subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(output)
        return cls(process, f"http://{HOST}:{port}", log, token)

    async def ready(self) -> None:
        """Wait until the server answers.

        Raises:
            MLInternError: the server ended.
            TemporaryError: the server does not answer in time.
        """
        import httpx

        async with httpx.AsyncClient(base_url=self.url, headers=self.headers, trust_env=False) as client:
            for _ in range(int(START_SECONDS / 0.2)):
                if self.process.returncode is not None:
                    raise self.ended()
                try:
                    if (await client.get("/ok")).is_success:
                        return
                except httpx.TransportError:  # the server is not listening yet
                    await asyncio.sleep(0.2)
        raise TemporaryError(f"the server did not answer within {START_SECONDS:.0f} s", f"see {self.log}")

    def ended(self) -> MLInternError:
        """Return the error for a server that ended by itself."""
        return MLInternError(f"the server ended with exit code {self.process.returncode}", f"see {self.log}")

    async def end(self) -> None:
        """Stop the server and every process of its group."""
        for sign, seconds in _STOPS:
            if self.process.returncode is not None:
                return
            os.killpg(self.process.pid, sign)
            await asyncio.wait({asyncio.ensure_future(self.process.wait())}, timeout=seconds)


@contextmanager
def server_folder(port: int) -> Iterator[Path]:
    """Create an empty folder for the server and remove it at the end: the server repeats runs it finds there."""
    folder = data_home() / "studio" / str(port)
    shutil.rmtree(folder, ignore_errors=True)  # left by a killed server
    try:
        yield private_folder(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def server_environment(environ: Mapping[str, str], served: ServedOptions) -> dict[str, str]:
    """Return the caller's environment without variables that configure the server, and with tracing off."""
    kept = {name: value for name, value in environ.items() if not name.startswith(_THEIRS)}
    return {**kept, **QUIET, VARIABLE: served.as_text()}


def free_port(wanted: int | None) -> int:
    """Return the wanted port; without one, the default port, or any free port when the default is in use.

    Raises:
        TemporaryError: the wanted port is in use.
    """
    for port in (wanted,) if wanted else (DEFAULT_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise TemporaryError(f"port {wanted} is in use", "choose another with --port, or omit it")
