"""Several workers and threads on one database, while workers are killed and stopped. Nothing may be lost or doubled.

    python -m bench.soak_team [--minutes 30] [--out bench/soak_team.json]

A worker and all its processes are killed every KILL_SECONDS, and stopped for STOPPED_SECONDS every STOP_SECONDS. Each
thread gets messages from a scripted user; each message lets the model run a command that appends a line to a file.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ml_intern.configs.errors import MLInternError
from ml_intern.configs.paths import DATABASE_VARIABLE
from ml_intern.session.team.following import TeamThreads, open_team_threads
from tests.fakes.postgres import running_server

WORKERS, THREADS, MESSAGES = 4, 12, 400
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


class SoakWorkers:
    """Worker processes in sessions of their own."""

    def __init__(self, log: Path) -> None:
        self._log = log.open("ab")
        self._processes = [self._start() for _ in range(WORKERS)]
        self.kills = self.stops = 0

    def kill(self) -> None:
        """Kill a worker with all its processes, and start another one."""
        number = random.randrange(WORKERS)
        self._end(self._processes[number])
        self._processes[number] = self._start()
        self.kills += 1

    async def stop(self) -> None:
        """Stop a worker with all its processes for a while."""
        process = random.choice(self._processes)
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
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout.split()
    return [one for child in map(int, found) for one in (child, *descendants(child))]


def script_of(folder: Path, messages: int) -> str:
    """A model that appends the number of each message to a file, and then says it."""
    steps: list[dict[str, Any]] = []
    for number in range(1, messages + 1):
        call = {"name": "bash", "args": {"command": f"echo {number} >> {folder / 'lines'}"}}
        steps += [{"tool_calls": [call], "delay": 1.0}, {"text": f"said {number}", "delay": 0.5}]
    path = folder / "model.yaml"
    path.write_text(yaml.safe_dump(steps, sort_keys=False))
    return f"scripted:{path}"


async def play(threads: TeamThreads, thread: Played, until: float) -> None:
    """Post one message after the other, each when the turn of the one before has ended."""
    ended = asyncio.Event()
    begun: dict[str, float] = {}

    def take(line: dict[str, Any]) -> None:
        event = line["event"]
        if event["type"] == "processing":
            begun.setdefault(event["data"]["id"], time.monotonic())
        was_ended = event["type"] == "resumed" and not event["data"]["pending"]
        if (event["type"] == "turn_complete" or was_ended) and "state" not in line and begun:
            ended.set()

    async with threads.follow(thread.id, take) as follower:
        await follower.start()
        while time.monotonic() < until:
            number = len(thread.posted) + 1
            id = f"{thread.id}:{number}"
            body, at = {"type": "user_input", "text": str(number), "id": id}, time.monotonic()
            while True:
                with suppress(MLInternError):  # the database is away; the same id is posted once
                    await threads.post(thread.id, body, id)
                    break
                await asyncio.sleep(1)
            thread.posted.append(number)
            await ended.wait()
            ended.clear()
            thread.seconds.append(begun.get(id, time.monotonic()) - at)


def broken(thread: Played, said: list[str]) -> list[str]:
    """What was lost or doubled in a thread. `said` are the user's messages in its conversation."""
    lines = [int(line) for line in (thread.folder / "lines").read_text().split()]
    found = [] if said == [str(number) for number in thread.posted] else [f"messages {said}"]
    found += [f"{number} was run {lines.count(number)} times" for number in set(lines) if lines.count(number) > 1]
    return found + ([] if lines == sorted(lines) else [f"out of order: {lines}"])


async def soak(folder: Path, minutes: float) -> dict[str, Any]:
    """Play, and return the report."""
    workers = SoakWorkers(folder / "workers.log")
    async with open_team_threads() as threads:
        played = [await created(threads, folder / f"t{number}") for number in range(THREADS)]
        began = time.monotonic()
        until = began + 60 * minutes
        playing = [asyncio.create_task(play(threads, thread, until)) for thread in played]
        disturbing = asyncio.create_task(disturb(workers))
        await asyncio.gather(*playing)
        disturbing.cancel()
        await asyncio.gather(disturbing, return_exceptions=True)
        workers.end()
        problems = {thread.id: broken(thread, await said_in(thread.id)) for thread in played}
    waits = sorted(wait for thread in played for wait in thread.seconds)
    return {
        "minutes": round((time.monotonic() - began) / 60, 1),
        "kills": workers.kills,
        "stops": workers.stops,
        "messages": sum(len(thread.posted) for thread in played),
        "commands": sum(len((thread.folder / "lines").read_text().split()) for thread in played),
        "begun_after_s": {"median": round(statistics.median(waits), 2), "max": round(waits[-1], 2)},
        "broken": {id: found for id, found in problems.items() if found},
        "load": os.getloadavg()[0],
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


async def disturb(workers: SoakWorkers) -> None:
    """Kill and stop workers, until this is cancelled."""
    stopping = time.monotonic() + STOP_SECONDS / 2
    while True:
        await asyncio.sleep(KILL_SECONDS)
        workers.kill()
        if time.monotonic() > stopping:
            stopping = time.monotonic() + STOP_SECONDS
            await workers.stop()


def main() -> None:
    """Read the arguments, soak and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with running_server() as server, tempfile.TemporaryDirectory(prefix="ml-intern-soak-") as name:
        os.environ |= {DATABASE_VARIABLE: server.new_database(), "ML_INTERN_HOME": f"{name}/home"}
        settings = Path(name) / "settings.json"
        settings.write_text(json.dumps({"mcpServers": {"hf-mcp-server": {"enabled": False}}}))
        os.environ["ML_INTERN_CLI_CONFIG"] = str(settings)
        report = asyncio.run(soak(Path(name), given.minutes))
    print(json.dumps(report, indent=2))
    if given.out:
        given.out.write_text(json.dumps(report, indent=2) + "\n")
    sys.exit(bool(report["broken"]))


if __name__ == "__main__":
    main()
