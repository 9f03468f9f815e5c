"""Lives of a user in forked children: killed by SIGKILL at a moment, waited for, and what they leave behind."""

import asyncio
import os
import select
import signal
import sqlite3
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import langgraph.pregel.main  # noqa: F401 loaded here, once for all children

from tests.fakes.postgres import POSTGRES_REFUSED
from tests.faults.invariants import broken
from tests.faults.lab import FaultLab
from tests.faults.scenarios import Scenario
from tests.faults.user import User

MARK = "TESTS_FAULT_TRIAL"
PATIENCE = 600
"""Seconds after which a child that should have ended is killed."""


@dataclass(frozen=True)
class Whole:
    """A life without kills: the conversation at its end, its database statements, its seconds."""

    final: Sequence[dict[str, Any]]
    statements: int
    seconds: float


@dataclass(frozen=True)
class Moment:
    """When a child is killed: at a statement, or after so many seconds; neither means never."""

    statement: int = 0
    seconds: float = 0.0


def count_statements(statement: int) -> list[int]:
    """Count the statements of every connection opened from now on; at the given one this process is killed."""
    seen = [0]
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def count(_: object) -> None:
        seen[0] += 1
        if seen[0] == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **options)
        connection.set_trace_callback(count)
        return connection

    sqlite3.connect = counted  # type: ignore[assignment]
    if POSTGRES_REFUSED:
        _count_round_trips(count)
    return seen


def _count_round_trips(count: Callable[[object], None]) -> None:
    """Count what psycopg sends to PostgreSQL and waits for."""
    import psycopg

    wait, wait_async = psycopg.Connection.wait, psycopg.AsyncConnection.wait

    def counted(connection: psycopg.Connection[Any], *arguments: Any, **options: Any) -> Any:
        count(connection)
        return wait(connection, *arguments, **options)

    async def counted_async(connection: psycopg.AsyncConnection[Any], *arguments: Any, **options: Any) -> Any:
        count(connection)
        return await wait_async(connection, *arguments, **options)

    psycopg.Connection.wait = counted  # type: ignore[assignment,method-assign]
    psycopg.AsyncConnection.wait = counted_async  # type: ignore[assignment,method-assign]


def fork(work: Callable[[], None]) -> int:
    """Run `work` in a forked child; its process id."""
    pid = os.fork()
    if pid:
        return pid
    signal.alarm(int(PATIENCE))
    try:
        work()
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 a child that fails says so and never runs the parent's code
        traceback.print_exception(error)
        os._exit(1)


def wait(pid: int, seconds: float = PATIENCE) -> int:
    """The wait status of a child, which is killed when it has not ended after so many seconds."""
    ended = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    if not poll.poll(seconds * 1000):
        os.kill(pid, signal.SIGKILL)
    os.close(ended)
    return os.waitpid(pid, 0)[1]


def leftovers(mark: Path) -> list[str]:
    """Processes that were started with this mark in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(f"{entry.name} {(entry / 'cmdline').read_bytes().decode(errors='replace')}")
        except OSError:
            continue
    return found


def life(lab: FaultLab, scenario: Scenario, moment: Moment) -> int:
    """One life of the user in a child process, killed at `moment`; its wait status."""

    def work() -> None:
        os.environ[MARK] = str(lab.root)
        seen, began = count_statements(moment.statement), time.monotonic()
        asyncio.run(User(lab, scenario).live())
        lab.record.add(whole={"statements": seen[0], "seconds": time.monotonic() - began}, left=leftovers(lab.root))

    return wait(fork(work), moment.seconds or PATIENCE)


def whole_life(lab: FaultLab, scenario: Scenario) -> Whole:
    """What a scenario comes to without kills. Raises RuntimeError when even that fails."""
    status = life(lab, scenario, Moment())
    if status:
        raise RuntimeError(f"{scenario.name} ended without faults with the wait status {status}")
    final = lab.record.newest("final")
    if found := broken(lab, final):
        raise RuntimeError(f"{scenario.name} fails without faults: {found}")
    return Whole(final, **lab.record.newest("whole"))
