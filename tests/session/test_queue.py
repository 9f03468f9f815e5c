"""Queued messages: in order, steered into a running turn, changed, removed, paused, and found again after a crash."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ml_intern.configs.errors import UsageError
from ml_intern.graph.events import Event
from ml_intern.graph.operations import (
    EditQueued,
    ExecApproval,
    Fork,
    Interrupt,
    New,
    Operation,
    Redo,
    Steer,
    Undo,
    Unqueue,
    UserInput,
)
from ml_intern.graph.state import is_user_message
from ml_intern.session.agent import AgentSession
from tests.session.conftest import Lab, bash, data

WAIT = {"tool_calls": [bash("echo > ready; read line < go; echo it ran")]}
"""A reply with a command that runs until the test writes to `go`."""


@pytest.fixture
def waiting(lab: Lab) -> Lab:
    """A lab with the pipes of the command that waits."""
    for name in ("ready", "go"):
        os.mkfifo(lab.workspace / name)
    return lab


class User:
    """Reads every event of a session."""

    def __init__(self, session: AgentSession, lab: Lab) -> None:
        self.session = session
        self.lab = lab
        self.seen: list[Event] = []
        self.arrived = asyncio.Condition()

    async def read(self) -> None:
        async for event in self.session.events():
            async with self.arrived:
                self.seen.append(event)
                self.arrived.notify_all()

    async def until(self, type: str) -> dict[str, Any]:
        """The data of the first event of this type."""
        async with asyncio.timeout(60), self.arrived:
            await self.arrived.wait_for(lambda: data(self.seen, type))
        return data(self.seen, type)[0]

    async def submit(self, *operations: Operation) -> None:
        for operation in operations:
            await self.session.submit(operation)

    async def begin(self, text: str = "one") -> None:
        """Start a turn and return when its command runs."""
        await self.submit(UserInput(text))
        await self.started()

    async def started(self) -> None:
        """Wait until the command runs."""
        await asyncio.to_thread((self.lab.workspace / "ready").read_text)

    async def approve(self, events: Sequence[Event]) -> None:
        """Approve what was asked in these events."""
        requests = data(list(events), "approval_required")[-1]["requests"]
        await self.submit(ExecApproval({one["id"]: {"type": "approve"} for one in requests}))

    async def release(self) -> None:
        """Let the command end."""
        await asyncio.to_thread((self.lab.workspace / "go").write_text, "go\n")

    async def rest(self, *operations: Operation) -> list[Event]:
        """Submit operations and wait until all have finished. The events since the last call."""
        await self.submit(*operations)
        async with asyncio.timeout(60):
            await self.session.idle()
        seen, self.seen = self.seen, []
        return seen


@asynccontextmanager
async def user(lab: Lab, model: str, **choices: Any) -> AsyncIterator[User]:
    """A user with an open session."""
    async with lab.session(model, **choices) as session:
        one = User(session, lab)
        reading = asyncio.create_task(one.read())
        yield one
    await reading


async def said(session: AgentSession) -> list[str]:
    """The user's messages."""
    return [message.text for message in await session.messages() if is_user_message(message)]


def texts(events: Sequence[Event]) -> list[list[str]]:
    """The texts of the queue at each change."""
    return [[one["text"] for one in change["messages"]] for change in data(list(events), "queue")]


def says(*texts: str) -> list[dict[str, Any]]:
    return [{"text": text} for text in texts]


async def test_messages_wait_for_the_running_turn_and_start_in_order(waiting: Lab) -> None:
    async with user(waiting, waiting.script(WAIT, *says("A", "B", "C"))) as person:
        await person.begin()
        await person.submit(UserInput("two"))
        await person.submit(UserInput("three"))
        assert [one.text for one in await person.session.queue()] == ["two", "three"]
        await person.release()
        events = await person.rest()
        assert texts(events) == [["two"], ["two", "three"], ["three"], []]
        assert [one["text"] for one in data(events, "processing")] == ["one", "two", "three"]
        assert [one["text"] for one in data(events, "turn_complete")] == ["A", "B", "C"]
        assert list(await person.session.queue()) == []


async def test_a_message_at_rest_is_never_reported_as_queued(lab: Lab) -> None:
    async with user(lab, lab.script({"text": "A"})) as person:
        message = UserInput("one")
        events = await person.rest(message)
        assert texts(events) == []
        assert data(events, "processing") == [{"turn": 1, "text": "one", "id": message.id}]
        assert (await person.session.messages())[0].id == message.id


async def test_a_steered_message_follows_the_running_tool(waiting: Lab) -> None:
    async with user(waiting, waiting.script(WAIT, *says("A", "B"))) as person:
        await person.begin()
        first, second = UserInput("later"), UserInput("now")
        await person.submit(first)
        await person.submit(second)
        await person.submit(Steer(second.id))
        await person.release()
        events = await person.rest()
        assert data(events, "steered") == [{"turn": 1, "text": "now", "id": second.id}]
        kinds = [message.type for message in await person.session.messages()]
        assert kinds == ["human", "ai", "tool", "human", "ai", "human", "ai"]
        assert await said(person.session) == ["one", "now", "later"]
        assert [one["turn"] for one in data(events, "turn_complete")] == [1, 2]
        assert [found.number for found in await person.session.turns()] == [1, 2]


async def test_the_files_in_a_steered_message_were_read(waiting: Lab) -> None:
    (waiting.workspace / ".env").write_text("A=1\n")
    async with user(waiting, waiting.script(WAIT, *says("A"))) as person:
        await person.begin()
        message = UserInput("see @.env and\n\nA=1", typed="see @.env and")
        await person.submit(message)
        await person.submit(Steer(message.id))
        await person.release()
        await person.rest()
        values = (await person.session._turns.snapshot()).values
        assert [Path(path).name for path in values["file_reads"]] == [".env"]


async def test_what_is_steered_too_late_starts_a_turn(waiting: Lab) -> None:
    slow = {"text": "A", "delay": 0.5}
    async with user(waiting, waiting.script(slow, *says("B", "C"))) as person:
        await person.submit(UserInput("one"))
        await person.until("processing")
        first, second = UserInput("two"), UserInput("three")
        await person.submit(first)
        await person.submit(second)
        await person.submit(Steer(second.id))
        await person.rest()
        assert await said(person.session) == ["one", "three", "two"]


async def test_a_message_is_steered_at_rest(waiting: Lab) -> None:
    async with user(waiting, waiting.script(WAIT, *says("B", "C"))) as person:
        await person.begin()
        first, second = UserInput("two"), UserInput("three")
        await person.submit(first)
        await person.submit(second)
        await person.submit(Interrupt())
        assert data(await person.rest(), "queue")[-1]["paused"]
        await person.submit(Steer(second.id))
        await person.rest()
        assert await said(person.session) == ["one", "three", "two"]


async def test_a_queued_message_is_edited_and_removed(waiting: Lab) -> None:
    async with user(waiting, waiting.script(WAIT, *says("A", "B"))) as person:
        await person.begin()
        first, second = UserInput("two"), UserInput("three")
        await person.submit(first)
        await person.submit(second)
        await person.submit(EditQueued(first.id, "zwei with a file", typed="zwei"))
        await person.submit(Unqueue(second.id))
        await person.release()
        events = await person.rest()
        assert texts(events) == [["two"], ["two", "three"], ["zwei", "three"], ["zwei"], []]
        assert await said(person.session) == ["one", "zwei with a file"]
        for operation in (Unqueue(first.id), EditQueued(first.id, "x"), Steer(first.id)):
            with pytest.raises(UsageError, match="is not queued"):
                await person.submit(operation)


async def test_an_interrupt_keeps_the_queue_until_the_next_message(waiting: Lab) -> None:
    async with user(waiting, waiting.script(WAIT, *says("A", "B"))) as person:
        await person.begin()
        await person.submit(UserInput("two"))
        await person.submit(Interrupt())
        events = await person.rest()
        assert data(events, "queue")[-1] == {
            "messages": [{"id": (await person.session.queue())[0].id, "text": "two", "steer": False}],
            "paused": True,
        }
        assert await said(person.session) == ["one"]
        await person.submit(UserInput("three"))
        assert not any(change["paused"] for change in data(await person.rest(), "queue"))
        assert await said(person.session) == ["one", "two", "three"]


async def test_a_failed_turn_pauses_the_queue(waiting: Lab) -> None:
    failing = {"error": {"status": 400, "message": "no such parameter", "times": 9}, "text": "never"}
    async with user(waiting, waiting.script(WAIT, failing, *says("A", "B"))) as person:
        await person.begin()
        await person.submit(UserInput("two"))
        await person.release()
        events = await person.rest()
        assert data(events, "turn_complete")[-1]["status"] == "failed"
        assert [one.text for one in await person.session.queue()] == ["two"]
        assert data(events, "queue")[-1]["paused"]


async def test_the_queue_waits_for_an_approval(waiting: Lab) -> None:
    ask = {"tool_calls": [bash("touch asked")]}
    model = waiting.script(WAIT, ask, *says("A", "B"))
    async with user(waiting, model, approval_mode="ask") as person:
        await person.approve(await person.rest(UserInput("one")))
        await person.started()
        await person.submit(UserInput("two"))
        await person.release()
        asked = await person.rest()
        assert [one.text for one in await person.session.queue()] == ["two"]
        await person.approve(asked)
        await person.rest()
        assert await said(person.session) == ["one", "two"]
        assert (waiting.workspace / "asked").exists()


async def test_a_message_supersedes_a_pending_approval_before_older_ones_start(waiting: Lab) -> None:
    ask = {"tool_calls": [bash("touch asked")]}
    model = waiting.script(WAIT, ask, *says("A", "B"))
    async with user(waiting, model, approval_mode="ask") as person:
        await person.approve(await person.rest(UserInput("one")))
        await person.started()
        await person.submit(UserInput("two"))
        await person.release()
        await person.rest()
        await person.submit(UserInput("rather this"))
        await person.rest()
        assert await said(person.session) == ["one", "rather this", "two"]
        assert not (waiting.workspace / "asked").exists()


async def test_operations_and_messages_are_carried_out_in_the_order_of_their_submission(lab: Lab) -> None:
    async with user(lab, lab.script(*says("A", "B"))) as person:
        for operation in (UserInput("one"), Undo(), UserInput("two")):
            await person.submit(operation)
        await person.rest()
        assert await said(person.session) == ["two"]


async def test_a_message_after_a_switch_belongs_to_the_other_thread(lab: Lab) -> None:
    async with user(lab, lab.script(*says("A", "B", "C"))) as person:
        await person.rest(UserInput("one"))
        first = person.session.thread_id
        for operation in (Fork(), UserInput("two"), New(), UserInput("three")):
            await person.submit(operation)
        await person.rest()
        assert await said(person.session) == ["three"]
        rows = {row.id: row for row in await person.session.all_threads().list()}
        assert sorted(row.turns for row in rows.values()) == [1, 1, 2]
        assert rows[first].turns == 1


async def test_the_queue_stays_in_its_thread_when_it_is_forked(waiting: Lab) -> None:
    async with user(waiting, waiting.script(WAIT, *says("A", "B"))) as person:
        first = person.session.thread_id
        await person.begin()
        await person.submit(UserInput("two"))
        await person.submit(Interrupt())
        await person.rest()
        await person.submit(Fork())
        await person.rest()
        assert person.session.thread_id != first
        assert list(await person.session.queue()) == []
        async with person.session.all_threads().read(first) as thread:
            assert [one.text for one in await thread.queue()] == ["two"]


async def test_a_message_submitted_twice_is_delivered_once(waiting: Lab) -> None:
    async with user(waiting, waiting.script(WAIT, *says("A", "B", "C"))) as person:
        await person.begin()
        message = UserInput("two")
        await person.submit(message)
        await person.submit(message)
        await person.release()
        await person.rest()
        await person.submit(message)
        await person.rest()
        assert await said(person.session) == ["one", "two"]
        assert list(await person.session.queue()) == []


async def test_messages_of_a_closed_session_start_when_the_thread_is_opened(waiting: Lab) -> None:
    model = waiting.script(WAIT, *says("A", "B"))
    async with user(waiting, model) as person:
        await person.begin()
        await person.submit(UserInput("two"))
    async with user(waiting, model, thread=person.session.thread_id) as person:
        events = await person.rest()
        assert [event.type for event in events[:3]] == ["ready", "resumed", "queue"]
        assert await said(person.session) == ["one", "two"]


async def test_messages_of_an_interrupted_thread_do_not_start_by_themselves(waiting: Lab) -> None:
    model = waiting.script(WAIT, *says("A", "B"))
    async with user(waiting, model) as person:
        await person.begin()
        await person.submit(UserInput("two"))
        await person.submit(Interrupt())
        await person.rest()
    async with user(waiting, model, thread=person.session.thread_id) as person:
        [found] = data(await person.rest(), "queue")
        assert [one["text"] for one in found["messages"]] == ["two"]
        assert found["paused"]
        assert await said(person.session) == ["one"]


async def test_undo_and_redo_take_a_steered_message_with_its_turn(waiting: Lab) -> None:
    async with user(waiting, waiting.script({"text": "A"}, WAIT, *says("B"))) as person:
        await person.rest(UserInput("zero"))
        await person.begin()
        message = UserInput("now")
        await person.submit(message)
        await person.submit(Steer(message.id))
        await person.release()
        await person.rest()
        assert await said(person.session) == ["zero", "one", "now"]
        await person.rest(Undo())
        assert await said(person.session) == ["zero"]
        assert list(await person.session.queue()) == []
        await person.rest(Redo())
        assert await said(person.session) == ["zero", "one", "now"]
        found = [(one.role, one.text, one.turn, one.steered) for one in (await person.session.conversation()).messages]
        users = [(text, number, steered) for role, text, number, steered in found if role == "user"]
        assert users == [("zero", 1, False), ("one", 2, False), ("now", 0, True)]


async def test_a_steered_message_resets_the_loop_guard(waiting: Lab) -> None:
    again = {"tool_calls": [bash("echo again")]}
    steps: list[dict[str, Any]] = [again, again, WAIT, again, again, {"text": "A"}]
    async with user(waiting, waiting.script(*steps)) as person:
        await person.begin()
        message = UserInput("once more")
        await person.submit(message)
        await person.submit(Steer(message.id))
        await person.release()
        events = await person.rest()
        assert [one["status"] for one in data(events, "tool_output")] == ["done"] * 5
        assert data(events, "turn_complete")[-1]["iterations"] == 6


async def test_secrets_are_redacted_in_the_queue(waiting: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "hf_" + "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3z"
    async with user(waiting, waiting.script(WAIT, *says("A", "B"))) as person:
        await person.begin()
        await person.submit(UserInput(f"use {secret}", typed=f"use {secret}"))
        rows = await person.session.services.store.queue.list(person.session.thread_id)
        assert secret not in json.dumps([row.body for row in rows])
        await person.release()
        assert secret not in str(await person.rest())
