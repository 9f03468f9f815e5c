"""Two servers, four workers and twelve threads on one database, while workers are killed and stopped.

    python -m bench.soak_team [--minutes 30] [--folder .cache/soak_team] [--out bench/soak_team.json]

A worker and all its processes are killed every KILL_SECONDS, and stopped for STOPPED_SECONDS every STOP_SECONDS. Each
thread gets messages from a scripted user, through one of the servers; each message lets the model run a command that
appends a line to a file. Nothing may be lost, doubled or out of order.

It is played in rounds of ROUND_MINUTES. Each is one line of rounds.jsonl in the folder; the next run counts on from
there.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import yaml

from ml_intern.configs.errors import MLInternError
from ml_intern.configs.paths import DATABASE_VARIABLE
from ml_intern.session.team.following import TeamThreads, open_team_threads
from ml_intern.store.postgres.locks import TABLES, lock_key
from tests.fakes.postgres import running_server

SERVERS, WORKERS, THREADS, MESSAGES = 2, 4, 12, 400
ROUND_MINUTES, REST_SECONDS = 10.0, 120.0
TOKEN = "soak"
SECONDS = ("begun_after_s", "killed_s", "stopped_s")
HOLDERS = (
    "SELECT (lock.classid::bigint << 32) | lock.objid::bigint, activity.application_name FROM pg_locks AS lock "
    "JOIN pg_stat_activity AS activity USING (pid) WHERE lock.locktype = 'advisory' AND lock.granted"
)
KILL_SECONDS, STOP_SECONDS, STOPPED_SECONDS = 60.0, 300.0, 20.0
ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Played:
    """One thread: its folder, and the numbers of the messages that were posted."""

    id: str
    folder: Path
    posted: list[int] = field(default_factory=list[int])
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
        """Kill a worker with all its processes, and start another one."""
        number = random.randrange(WORKERS)
        cut_off(threads, self._processes[number], "killed")
        self._end(self._processes[number])
        self._processes[number] = self._start()
        self.kills += 1

    async def stop(self, threads: "list[Played]") -> None:
        """Stop a worker with all its processes for a while."""
        process = random.choice(self._processes)
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


def cut_off(threads: list[Played], worker: "subprocess.Popen[bytes]", how: str) -> None:
    """Note in the threads of a worker what happens to it now."""
    pids = {worker.pid, *descendants(worker.pid)}
    with psycopg.connect(os.environ[DATABASE_VARIABLE]) as connection:
        holders: dict[int, str] = dict(connection.execute(HOLDERS).fetchall())
    for thread in threads:
        name = holders.get(lock_key(thread.id, TABLES), "")
        if name.startswith("ml-intern ") and int(name.split()[1]) in pids:
            thread.cut_off = how, time.monotonic()


class SoakServers:
    """Servers with the HTTP API, through which messages are posted."""

    def __init__(self, log: Path) -> None:
        self._log = log.open("ab")
        self._ports = [free_port() for _ in range(SERVERS)]
        self._processes = [self._start(port) for port in self._ports]
        self.slow: list[str] = []
        """What the database showed when a server had not answered for a minute."""
        headers = {"authorization": f"Bearer {TOKEN}"}
        self._clients = [
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60, trust_env=False)
            for port in self._ports
        ]

    async def ready(self) -> None:
        """Wait until all of them answer."""
        for client in self._clients:
            while True:
                with suppress(httpx.TransportError):
                    (await client.get("/api/threads")).raise_for_status()
                    break
                await asyncio.sleep(0.2)

    async def post(self, server: int, thread_id: str, body: dict[str, Any]) -> None:
        """Post an operation once. Raises MLInternError if the server refuses it."""
        request = {"id": body["id"], "do": body}
        while True:
            try:
                answer = await self._clients[server % SERVERS].post(
                    f"/api/threads/{thread_id}/operations", json=request
                )
            except (httpx.RemoteProtocolError, httpx.ReadError):  # it closed a connection that was idle
                continue
            except httpx.ReadTimeout:
                self.slow.append(f"{body['id']}: {seen_in_database(thread_id)}")
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
        environment = {**os.environ, "ML_INTERN_SERVER_TOKEN": TOKEN}
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


def script_of(folder: Path, messages: int) -> str:
    """A model that appends the number of each message to a file, and then says it."""
    steps: list[dict[str, Any]] = []
    for number in range(1, messages + 1):
        call = {"name": "bash", "args": {"command": f"echo {number} >> {folder / 'lines'}"}}
        steps += [{"tool_calls": [call], "delay": 1.0}, {"text": f"said {number}", "delay": 0.5}]
    path = folder / "model.yaml"
    path.write_text(yaml.safe_dump(steps, sort_keys=False))
    return f"scripted:{path}"


async def play(threads: TeamThreads, servers: SoakServers, number: int, thread: Played, until: float) -> None:
    """Post one message after the other, each when the turn of the one before has ended."""
    ended = asyncio.Event()
    begun: dict[str, float] = {}

    def take(line: dict[str, Any]) -> None:
        event = line["event"]
        if event["type"] == "processing":
            begun.setdefault(event["data"]["id"], time.monotonic())
        if event["type"] in ("ready", "resumed") and "state" not in line and thread.cut_off:
            how, at = thread.cut_off
            thread.gaps[how].append(time.monotonic() - at)
            thread.cut_off = None
        was_ended = event["type"] == "resumed" and not event["data"]["pending"]
        if (event["type"] == "turn_complete" or was_ended) and "state" not in line and begun:
            ended.set()

    async with threads.follow(thread.id, take) as follower:
        await follower.start()
        while time.monotonic() < until:
            message = len(thread.posted) + 1
            body, at = {"type": "user_input", "text": str(message), "id": f"{thread.id}:{message}"}, time.monotonic()
            await servers.post(number, thread.id, body)
            thread.posted.append(message)
            await ended.wait()
            ended.clear()
            thread.seconds.append(begun.get(body["id"], time.monotonic()) - at)


def broken(thread: Played, said: list[str]) -> list[str]:
    """What was lost or doubled in a thread. `said` are the user's messages in its conversation."""
    lines = [int(line) for line in (thread.folder / "lines").read_text().split()]
    found = [] if said == [str(number) for number in thread.posted] else [f"messages {said}"]
    found += [f"{number} was run {lines.count(number)} times" for number in set(lines) if lines.count(number) > 1]
    return found + ([] if lines == sorted(lines) else [f"out of order: {lines}"])


async def play_round(folder: Path, minutes: float) -> dict[str, Any]:
    """Play a round, and return what was seen."""
    workers, servers = SoakWorkers(folder / "workers.log"), SoakServers(folder / "servers.log")
    await servers.ready()
    async with open_team_threads() as threads:
        played = [await created(threads, folder / f"t{number}") for number in range(THREADS)]
        began = time.monotonic()
        until = began + 60 * minutes
        playing = [play(threads, servers, number, thread, until) for number, thread in enumerate(played)]
        disturbing = asyncio.create_task(disturb(workers, played))
        try:
            await asyncio.gather(*playing)
            await rest()
        finally:
            disturbing.cancel()
            await asyncio.gather(disturbing, return_exceptions=True)
            workers.end()
            await servers.end()
        problems = {thread.id: broken(thread, await said_in(thread.id)) for thread in played}
    return {
        "minutes": (time.monotonic() - began) / 60,
        "kills": workers.kills,
        "stops": workers.stops,
        "messages": sum(len(thread.posted) for thread in played),
        "commands": sum(len((thread.folder / "lines").read_text().split()) for thread in played),
        "begun_after_s": [wait for thread in played for wait in thread.seconds],
        "killed_s": [gap for thread in played for gap in thread.gaps["killed"]],
        "stopped_s": [gap for thread in played for gap in thread.gaps["stopped"]],
        "broken": {id: found for id, found in problems.items() if found},
        "slow": servers.slow,
        "load": os.getloadavg()[0],
    }


async def rest() -> None:
    """Wait until nothing that was posted waits for a worker, also after the last events that were seen."""
    query = (
        "SELECT (SELECT count(*) FROM ml_intern.queued_messages) + (SELECT count(*) FROM ml_intern.operations "
        "WHERE state IN ('open', 'begun')) + (SELECT count(*) FROM ml_intern.threads WHERE state = 'running')"
    )
    until = time.monotonic() + REST_SECONDS
    while time.monotonic() < until:
        with psycopg.connect(os.environ[DATABASE_VARIABLE]) as connection:
            if connection.execute(query).fetchone() == (0,):
                return
        await asyncio.sleep(1)


def report_of(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of all rounds."""
    sums = {name: round(sum(one[name] for one in rounds), 1) for name in ("minutes", "kills", "stops", "messages")}
    spread = {name: spread_of([one for it in rounds for one in it[name]]) for name in SECONDS}
    broken = {id: found for one in rounds for id, found in one["broken"].items()}
    commands, load = sum(one["commands"] for one in rounds), [round(one["load"], 1) for one in rounds]
    slow = [line for one in rounds for line in one["slow"]]
    return {"rounds": len(rounds), **sums, "commands": commands, **spread, "broken": broken, "slow": slow, "load": load}


def spread_of(seconds: list[float]) -> dict[str, float]:
    """Return the number, median, 95th percentile and maximum."""
    found = sorted(seconds) or [0.0]
    p95 = found[int(0.95 * (len(found) - 1))]
    return {
        "n": len(seconds),
        "median": round(statistics.median(found), 2),
        "p95": round(p95, 2),
        "max": round(found[-1], 2),
    }


async def created(threads: TeamThreads, folder: Path) -> Played:
    """Create a thread with a folder and a model of its own."""
    folder.mkdir()
    (folder / "lines").touch()
    options = {"model": script_of(folder, MESSAGES), "approval_mode": "auto", "sandbox": False}
    return Played(await threads.create(str(folder), options), folder)


async def said_in(thread_id: str) -> list[str]:
    """The user's messages in the conversation of a thread."""
    from ml_intern.session.threads import open_threads

    async with open_threads(lambda *_: None) as threads, threads.read(thread_id) as thread:
        return [message.text for message in await thread.history() if message.role == "user"]


async def disturb(workers: SoakWorkers, threads: list[Played]) -> None:
    """Kill and stop workers, until this is cancelled."""
    stopping = time.monotonic() + STOP_SECONDS / 2
    while True:
        await asyncio.sleep(KILL_SECONDS)
        workers.kill(threads)
        if time.monotonic() > stopping:
            stopping = time.monotonic() + STOP_SECONDS
            await workers.stop(threads)


def played_round(minutes: float) -> dict[str, Any]:
    """Play a round on a database of its own."""
    with running_server() as server, tempfile.TemporaryDirectory(prefix="ml-intern-soak-") as name:
        os.environ |= {DATABASE_VARIABLE: server.new_database(), "ML_INTERN_HOME": f"{name}/home"}
        settings = Path(name) / "settings.json"
        settings.write_text(json.dumps({"mcpServers": {"hf-mcp-server": {"enabled": False}}}))
        os.environ["ML_INTERN_CLI_CONFIG"] = str(settings)
        return asyncio.run(play_round(Path(name), minutes))


def recorded(file: Path) -> list[dict[str, Any]]:
    """Return the rounds of all runs so far. A line that was cut off does not count."""
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}\n")]


def main() -> None:
    """Read the arguments, soak and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--folder", type=Path, default=ROOT / ".cache/soak_team")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    file = given.folder / "rounds.jsonl"
    rounds = recorded(file)
    while (left := given.minutes - sum(one["minutes"] for one in rounds)) > 0.5:
        rounds.append(played_round(min(left, ROUND_MINUTES)))
        with file.open("a") as record:
            record.write(json.dumps(rounds[-1]) + "\n")
        print(json.dumps(report_of(rounds)), flush=True)
        if rounds[-1]["broken"]:
            break
    report = report_of(rounds)
    print(json.dumps(report, indent=2))
    if given.out:
        given.out.write_text(json.dumps(report, indent=2) + "\n")
    sys.exit(bool(report["broken"]))


if __name__ == "__main__":
    main()
