"""A warm parent that forks children, each killed by SIGKILL at the n-th database statement of a turn, then resumed.

Run as `python -m tests.graph.crash FOLDER FIRST STEP`; prints one JSON line a child: what was there after the resume.
"""

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, ToolMessage

from graph.operations import ExecApproval, UserInput
from graph.session import AgentSession
from graph.state import is_users
from store.store import Store
from tests.graph.conftest import Lab, bash, until

MESSAGE = "please count"
STEPS = (
    {"text": "counting", "tool_calls": [bash("echo one >> log"), bash("echo two >> log"), bash("echo three >> log")]},
    {"text": "again", "tool_calls": [bash("echo four >> log")]},
    {"text": "counted"},
)


def kill_at(statement: int) -> None:
    """Count the SQL statements of every connection opened from now on, and kill this process at the given one."""
    seen, connect = 0, sqlite3.connect

    def count(sql: str) -> None:
        nonlocal seen
        seen += 1
        if seen == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **options)
        connection.set_trace_callback(count)
        return connection

    sqlite3.connect = counted  # type: ignore[assignment]


async def live(lab: Lab, model: str, acknowledged: Path) -> dict[str, Any]:
    """Begin or resume the one thread of the lab, answer every approval with yes, until the turn is complete."""
    async with await Store.open(lab.home) as store:
        threads = await store.threads.list()
    thread = threads[0].id if threads else None
    async with lab.session(model, thread=thread, approval_mode="ask") as session:
        pending = thread is not None and (await until(session, "resumed"))[-1].data["pending"]
        if not pending and await session.history():
            return await _found(session)
        if not pending:
            await session.submit(UserInput(MESSAGE))
        async for event in session.events():
            if event.type == "processing":
                acknowledged.touch()
            if event.type == "approval_required":
                await session.submit(ExecApproval({r["id"]: {"type": "approve"} for r in event.data["requests"]}))
            if event.type == "turn_complete":
                break
        return await _found(session)


async def _found(session: AgentSession) -> dict[str, Any]:
    history = await session.history()
    calls = [call["id"] for m in history if isinstance(m, AIMessage) for call in m.tool_calls]
    return {
        "messages": [m.text for m in history if is_users(m)],
        "calls": calls,
        "results": [m.tool_call_id for m in history if isinstance(m, ToolMessage)],
        "texts": [m.text for m in history if isinstance(m, ToolMessage)],
        "last": history[-1].text,
        "open": len(await session.services.store.journal.open(session.thread_id)),
    }


def fork(work: Callable[[], None]) -> int:
    """Run `work` in a forked child and return its wait status."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 a child that fails says so and never runs the parent's code
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
    return os.waitpid(pid, 0)[1]


def trial(folder: Path, statement: int) -> dict[str, Any]:
    """One child killed at `statement`, one that resumes; what the thread holds then."""
    workspace = folder / "workspace"
    workspace.mkdir(parents=True)
    lab = Lab(folder / "home", workspace)
    model, acknowledged, report = lab.script(*STEPS), folder / "acknowledged", folder / "report.json"

    def doomed() -> None:
        kill_at(statement)
        asyncio.run(live(lab, model, acknowledged))

    def survivor() -> None:
        report.write_text(json.dumps(asyncio.run(live(lab, model, folder / "second"))))

    status = fork(doomed)
    first = acknowledged.exists()
    if fork(survivor) != 0:
        return {"statement": statement, "error": "the resume failed"}
    log = (workspace / "log").read_text().split() if (workspace / "log").exists() else []
    again = (folder / "second").exists()
    found = {"statement": statement, "killed": os.WIFSIGNALED(status), "acknowledged": first, "asked_again": again}
    return {**found, "log": log, **json.loads(report.read_text())}


def main(folder: Path, first: int, step: int) -> None:
    """Trials at every `step`-th statement from `first` on, until a child was not killed any more."""
    statement = first
    while True:
        found = trial(folder / str(statement), statement)
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()
        if not found.get("killed", True):
            return
        statement += step


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
