"""Threads in a database: any worker runs them, in order and once, and another goes on when one dies or hangs."""

import asyncio
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ml_intern.server.team.sessions import TeamSessions
from ml_intern.session.team.following import open_team_threads
from tests.server.team.conftest import TeamServer
from tests.server.web.conftest import SECONDS


def bash(command: str) -> dict[str, Any]:
    return {"tool_calls": [{"name": "bash", "args": {"command": command}}]}


def answer(team: TeamServer, thread: str, id: str, kind: str) -> dict[str, Any]:
    """Answer the pending approval."""
    team.wait(thread, lambda row: row["state"] == "waiting")
    pending = team.client.get(f"/api/threads/{thread}/pending_approval").json()
    decisions = {request["id"]: {"type": kind} for request in pending["requests"]}
    return team.post(thread, {"type": "exec_approval", "decisions": decisions}, id)


def kill(pid: int) -> None:
    """End a process and its whole group at once."""
    os.killpg(os.getpgid(pid), signal.SIGKILL)


@pytest.fixture
def log(team: TeamServer) -> Path:
    path = team.root / "work" / "log"
    path.unlink(missing_ok=True)
    return path


def test_a_worker_runs_a_thread_and_asks_through_the_database(workers: TeamServer, log: Path) -> None:
    workers.start_worker()
    thread = workers.create(bash("echo ran >> log"), {"text": "finished"})
    assert answer(workers, thread, "once", "approve") == {"id": "once", "ok": True}
    workers.done(thread)
    assert log.read_text() == "ran\n"
    assert workers.history(thread)[-1]["text"] == "finished"
    assert "finished" in workers.page(thread)
    refused = workers.post(thread, {"type": "exec_approval", "decisions": {}}, "again")
    assert "no approval is pending" in refused["error"]["message"]


def test_what_is_posted_is_performed_in_order_and_once(workers: TeamServer) -> None:
    thread = workers.start({"text": "one"}, {"text": "two"}, {"text": "three"}, {"text": "four"}, text="1")
    posts = [
        threading.Thread(target=workers.post, args=(thread, {"type": "user_input", "text": text, "id": text}, text))
        for text in ("2", "2", "2")
    ]
    for post in posts:
        post.start()
    workers.start_worker()
    workers.start_worker()
    for post in posts:
        post.join()
    workers.done(thread, turns=2)
    for text in ("3", "4"):
        workers.post(thread, {"type": "user_input", "text": text}, f"message {text}")
    workers.done(thread, turns=4)
    asked = [message["text"] for message in workers.history(thread) if message["role"] == "user"]
    assert asked == ["1", "2", "3", "4"]
    numbers = [seq for (seq,) in workers.query("SELECT seq FROM ml_intern.events WHERE thread_id = %s", thread)]
    assert numbers == sorted(set(numbers))


def test_a_message_that_is_posted_or_performed_again_is_in_the_thread_once(workers: TeamServer) -> None:
    message = {"type": "user_input", "text": "2"}
    thread = workers.start({"text": "one"}, {"text": "two"}, {"text": "three"}, text="1")

    async def post_through_another_server() -> None:
        async with open_team_threads() as threads:
            await TeamSessions(threads).post(thread, message, "the second")

    workers.start_worker()
    workers.done(thread)
    assert workers.post(thread, message, "the second") == {"id": "the second", "ok": True}
    asyncio.run(post_through_another_server())
    workers.done(thread, turns=2)
    workers.end_workers(signal.SIGKILL)
    # As if the worker had been killed before it could say that it has performed the message.
    workers.query("UPDATE ml_intern.operations SET state = 'open' WHERE id = %s RETURNING id", f"{thread}:the second")
    workers.start_worker()
    workers.post(thread, {"type": "user_input", "text": "3"}, "the third")
    workers.done(thread, turns=3)
    assert [one["text"] for one in workers.history(thread) if one["role"] == "user"] == ["1", "2", "3"]


def test_another_worker_goes_on_when_one_is_killed(workers: TeamServer, log: Path) -> None:
    first = workers.start_worker()
    thread = workers.create(bash("echo once >> log"), bash("sleep 1; echo twice >> log"), {"text": "finished"})
    answer(workers, thread, "first", "approve")
    answer(workers, thread, "second", "approve")
    pid = workers.process_of(thread)
    first.kill()
    kill(pid)
    workers.start_worker()
    row = workers.wait(thread, lambda row: row["state"] in ("idle", "waiting"))
    assert row["turns"] == 1
    assert log.read_text().splitlines().count("once") == 1
    calls = [message for message in workers.history(thread) if message["role"] == "tool"]
    assert len(calls) == 2


def test_a_stopped_machine_loses_its_thread_and_writes_nothing_more(workers: TeamServer, log: Path) -> None:
    first = workers.start_worker()
    thread = workers.create(bash("sleep 60; echo late >> log"), {"text": "finished"}, {"text": "later"})
    answer(workers, thread, "long", "approve")
    stopped = [first.pid, workers.process_of(thread)]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    workers.start_worker()
    try:
        workers.done(thread)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    workers.post(thread, {"type": "user_input", "text": "more"}, "more")
    workers.done(thread, turns=2)
    assert [message["text"] for message in workers.history(thread)][-2:] == ["more", "later"]
    assert not log.exists()


def test_a_process_that_hangs_is_replaced_by_its_own_worker(workers: TeamServer) -> None:
    workers.start_worker()
    thread = workers.create(bash("sleep 60; echo late >> log"), {"text": "finished"})
    answer(workers, thread, "long", "approve")
    os.kill(workers.process_of(thread), signal.SIGSTOP)
    workers.done(thread)


def test_an_interruption_goes_first(workers: TeamServer) -> None:
    workers.start_worker()
    thread = workers.create(bash("sleep 600; echo late >> log"), {"text": "never"})
    answer(workers, thread, "long", "approve")
    assert workers.post(thread, {"type": "interrupt"}, "stop") == {"id": "stop", "ok": True}
    workers.wait(thread, lambda row: row["state"] == "interrupted")
    refused = workers.post(thread, {"type": "interrupt"}, "again")
    assert "interrupted" in str(workers.page(thread)) or "no turn" in str(refused)


def test_undo_is_not_repeated_by_the_next_worker(workers: TeamServer) -> None:
    thread = workers.create({"text": "one"}, {"text": "two"})
    workers.start_worker()
    workers.done(thread)
    workers.post(thread, {"type": "user_input", "text": "more"}, "more")
    workers.done(thread, turns=2)
    workers.end_workers()
    statement = (
        "INSERT INTO ml_intern.operations (id, thread_id, position, body, author, state, problem, created) "
        "VALUES ('undo', %s, 99, '{\"type\": \"undo\"}', '', 'begun', '', 0) RETURNING id"
    )
    workers.query(statement, thread)
    workers.start_worker()
    state = "SELECT state, problem FROM ml_intern.operations WHERE id = 'undo' AND state <> 'begun'"
    until = time.monotonic() + SECONDS
    while not (found := workers.query(state)):
        assert time.monotonic() < until
    assert found[0][0] == "refused"
    assert "ended" in found[0][1]
    assert workers.done(thread)["turns"] == 2


def test_a_thread_whose_model_does_not_exist_says_so(workers: TeamServer) -> None:
    workers.start_worker()
    (workers.root / "work").mkdir(exist_ok=True)
    form = {"text": "hello", "folder": str(workers.root / "work"), "model": "nowhere/nothing"}
    workers.client.post("/new", data=form)
    refused = "SELECT problem FROM ml_intern.operations WHERE state = 'refused' AND position('nowhere' IN problem) > 0"
    until = time.monotonic() + SECONDS
    while not workers.query(refused):
        assert time.monotonic() < until


def test_one_of_the_workers_runs_a_schedule_that_is_due(workers: TeamServer) -> None:
    (workers.root / "work").mkdir(exist_ok=True)
    values = (workers.script({"text": "checked"}), str(workers.root / "work"), time.time())
    statement = (
        "INSERT INTO ml_intern.schedules VALUES ('weekly', '0 7 * * 1', 'UTC', 'check the runs', %s, %s, %s, 0, '', "
        "NULL, 0) RETURNING id"
    )
    options = json.dumps({"model": values[0], "max_budget_usd": 2.0, "approval_mode": "auto"})
    workers.start_worker()
    workers.start_worker()
    workers.query(statement, values[1], options, values[2])
    until = time.monotonic() + SECONDS
    while not (found := workers.query("SELECT thread_id FROM ml_intern.schedules WHERE thread_id <> ''")):
        assert time.monotonic() < until
    thread = str(found[0][0])
    workers.done(thread)
    assert [message["text"] for message in workers.history(thread)] == ["check the runs", "checked"]
    first = "SELECT count(*) FROM ml_intern.operations WHERE position('check the runs' IN body) > 0"
    assert workers.query(first) == [(1,)]
