"""The processes of the soak of a team's server: workers that are killed and stopped, and servers with the HTTP API."""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg

from ml_intern.configs.errors import MLInternError
from ml_intern.configs.paths import DATABASE_VARIABLE
from ml_intern.store.postgres.locks import TABLES, lock_key

SERVERS, WORKERS = 2, 4
STOPPED_SECONDS = 20.0
ROOT = Path(__file__).resolve().parents[1]
HOLDERS = (
    "SELECT (lock.classid::bigint << 32) | lock.objid::bigint, activity.application_name FROM pg_locks AS lock "
    "JOIN pg_stat_activity AS activity USING (pid) WHERE lock.locktype = 'advisory' AND lock.granted"
)


@dataclass(frozen=True)
class SoakUser:
    """A user of the server, and the threads that belong to the user."""

    name: str
    token: str
    threads: list[str] = field(default_factory=list[str])


@dataclass
class Played:
    """One thread: its user, its folder, and the numbers of the messages that were posted."""

    id: str
    user: SoakUser
    folder: Path
    posted: list[int] = field(default_factory=lambda: [0])
    seconds: list[float] = field(default_factory=list[float])
    """From the post of a message until its turn began."""
    cut_off: tuple[str, float] | None = None
    """What happened to the worker of the thread, and when, until another one has opened the thread."""
    gaps: dict[str, list[float]] = field(default_factory=lambda: {"killed": [], "stopped": []})
    """The seconds until another worker had the thread."""


class SoakWorkers:
    """Worker processes in sessions of their own."""

    def __init__(self, log: Path) -> None:
        self._log = log.open("ab")
        self._processes = [self._start() for _ in range(WORKERS)]
        self.kills = self.stops = 0

    def kill(self, threads: "list[Played]") -> None:
        """Kill a worker that runs threads, with all its processes, and start another one."""
        number = self._busy(threads)
        cut_off(threads, self._processes[number], "killed")
        self._end(self._processes[number])
        self._processes[number] = self._start()
        self.kills += 1

    async def stop(self, threads: "list[Played]") -> None:
        """Stop a worker that runs threads, with all its processes, for a while."""
        process = self._processes[self._busy(threads)]
        cut_off(threads, process, "stopped")
        pids = [process.pid, *descendants(process.pid)]
        self.stops += 1
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(STOPPED_SECONDS)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def end(self) -> None:
        """Kill all of them."""
        for process in self._processes:
            self._end(process)

    def _busy(self, threads: "list[Played]") -> int:
        """Return the number of a worker that runs threads; of any if none does."""
        busy = [number for number, process in enumerate(self._processes) if threads_of(process, threads)]
        return random.choice(busy or range(WORKERS))

    def _start(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "ml_intern", "worker"]
        return subprocess.Popen(command, cwd=ROOT, stderr=self._log, start_new_session=True)

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        for pid in [process.pid, *descendants(process.pid)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def descendants(pid: int) -> list[int]:
    """The processes that a process started, directly or not."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        started = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:  # it has ended
        return []
    return [one for child in started for one in (child, *descendants(child))]


def threads_of(worker: "subprocess.Popen[bytes]", threads: list[Played]) -> list[Played]:
    """Return the threads that the processes of a worker have locked."""
    pids = {worker.pid, *descendants(worker.pid)}
    with psycopg.connect(os.environ[DATABASE_VARIABLE]) as connection:
        holders: dict[int, str] = dict(connection.execute(HOLDERS).fetchall())
    names = [(thread, holders.get(lock_key(thread.id, TABLES), "")) for thread in threads]
    return [thread for thread, name in names if name.startswith("ml-intern ") and int(name.split()[1]) in pids]


def cut_off(threads: list[Played], worker: "subprocess.Popen[bytes]", how: str) -> None:
    """Note in the threads of a worker what happens to it now."""
    for thread in threads_of(worker, threads):
        thread.cut_off = how, time.monotonic()


class SoakServers:
    """Servers with the HTTP API, through which messages are posted."""

    def __init__(self, log: Path) -> None:
        self._log = log.open("ab")
        self._ports = [free_port() for _ in range(SERVERS)]
        self._processes = [self._start(port) for port in self._ports]
        self.slow: list[str] = []
        """What the database showed when a server had not answered for a minute."""
        self._clients = [
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) for port in self._ports
        ]

    async def ready(self) -> None:
        """Wait until all of them answer."""
        for client in self._clients:
            while True:
                with suppress(httpx.TransportError):
                    (await client.get("/readyz")).raise_for_status()
                    break
                await asyncio.sleep(0.2)

    async def send(self, server: int, user: SoakUser, method: str, path: str, body: Any = None) -> httpx.Response:
        """Send a request of a user to one of the servers."""
        headers = {"authorization": f"Bearer {user.token}"}
        return await self._clients[server % SERVERS].request(method, path, json=body, headers=headers)

    async def post(self, server: int, thread: Played, id: str, do: dict[str, Any]) -> None:
        """Post an operation of a thread's user once. Raises MLInternError if the server refuses it."""
        path = f"/api/threads/{thread.id}/operations"
        while True:
            try:
                answer = await self.send(server, thread.user, "POST", path, {"id": id, "do": do})
            except (httpx.RemoteProtocolError, httpx.ReadError):  # it closed a connection that was idle
                continue
            except httpx.ReadTimeout:
                self.slow.append(f"{id}: {seen_in_database(thread.id)}")
                continue
            if answer.is_error:
                raise MLInternError(answer.text)
            return

    async def end(self) -> None:
        """End all of them."""
        for client in self._clients:
            await client.aclose()
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait()

    def _start(self, port: int) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "ml_intern", "serve", "--port", str(port)]
        environment = {**os.environ, "ML_INTERN_SERVER_TOKEN": "operator"}
        return subprocess.Popen(command, cwd=ROOT, stderr=self._log, stdout=self._log, env=environment)


def seen_in_database(thread_id: str) -> str:
    """The last operations of a thread, and what the connections wait for."""
    operations = "SELECT id, state FROM ml_intern.operations WHERE thread_id = %s ORDER BY position DESC LIMIT 2"
    activity = (
        "SELECT pid, application_name, state, wait_event_type, wait_event, left(query, 60), now() - state_change, "
        "pg_blocking_pids(pid) FROM pg_stat_activity WHERE state <> 'idle' AND pid <> pg_backend_pid()"
    )
    with psycopg.connect(os.environ[DATABASE_VARIABLE]) as connection:
        return str([*connection.execute(operations, (thread_id,)), *connection.execute(activity)])


def free_port() -> int:
    """A port that is free now."""
    with closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
