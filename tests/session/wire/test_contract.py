"""What the protocol promises of a session, of one of this process and of one of another, over its connection."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ml_intern.configs.errors import UsageError
from ml_intern.configs.paths import data_home
from ml_intern.graph import operations as ops
from ml_intern.graph.events import Event
from ml_intern.session.protocol import Session
from ml_intern.session.wire import sockets
from ml_intern.session.wire.attaching import attach
from ml_intern.session.wire.client import RemoteSession
from tests.session.conftest import bash
from tests.session.wire.conftest import Open

ASKED = {"tool_calls": [bash("touch made")]}


class Reader:
    """Reads the events of a session all the time."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.seen: list[Event] = []
        self._changed = asyncio.Event()
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for event in self.session.events():
            self.seen.append(event)
            self._changed.set()

    async def until(self, type: str) -> None:
        async with asyncio.timeout(60):
            while type not in self.types():
                self._changed.clear()
                await self._changed.wait()

    def types(self) -> list[str]:
        return [event.type for event in self.seen]

    def data(self, type: str) -> list[dict[str, Any]]:
        return [event.data for event in self.seen if event.type == type]


def end_of(session: Session) -> tuple[str, str, int] | None:
    return (session.end.status, session.end.text, session.end.exit_code) if session.end else None


Talk = tuple[Session, Reader]


@pytest.fixture(params=["here", "socket"])
def talk(request: pytest.FixtureRequest, opened: Open) -> Any:
    """Open a session with a script, in this process or over the socket of the one that runs it."""

    @asynccontextmanager
    async def start(*steps: dict[str, Any], **choices: Any) -> AsyncIterator[Talk]:
        if request.param == "here":
            async with opened(*steps, reads=False, **choices) as session:
                reader = Reader(session)
                yield session, reader
                await session.close()
                await reader.task
            return
        async with (
            opened(*steps, **choices) as session,
            attach(session.all_threads(), session.thread_id, name="web") as remote,
        ):
            reader = Reader(remote)
            yield remote, reader
            await remote.close()
            await reader.task

    return start


async def test_a_turn_its_reads_and_its_undo(talk: Any) -> None:
    async with talk({"tool_calls": [bash("echo hi > made")]}, {"text": "hello"}) as (session, reader):
        assert session.end is None
        await session.submit(ops.UserInput("go"))
        await session.idle()
        assert end_of(session) == ("done", "hello", 0)
        assert reader.types()[0] == "ready"
        assert reader.types()[-1] == "turn_complete"
        assert [one.text for one in await session.history() if one.role == "user"] == ["go"]
        assert [turn.text for turn in await session.turns()] == ["go"]
        row = await session.row()
        assert (row.id, row.turns, row.state) == (session.thread_id, 1, "idle")
        totals, spending = await session.totals(), await session.spending()
        assert totals.requests == 2
        assert (await session.usage(spending))["requests"] == 0
        assert (await session.usage())["requests"] == 2
        assert [change.path for change in (await session.preview_undo(ops.Undo())).changes] == ["made"]
        assert (await session.conversation()).messages[0].text == "go"
        await session.submit(ops.Undo())
        await session.idle()
        assert reader.data("undo_complete")[0]["turns"] == 1
        assert list(await session.turns()) == []
        assert [row.id for row in await session.all_threads().list()] == [session.thread_id]
    assert reader.types()[-1] == "shutdown"
    numbers = [event.seq for event in reader.seen if event.type not in ("ready", "shutdown")]
    assert numbers == sorted(set(numbers))


async def test_what_is_read_without_waiting(talk: Any) -> None:
    async with talk() as (session, reader):
        assert session.model().id == session.options.model
        assert "bash" in {tool.name for tool in session.tools()}
        assert next(iter(session.servers())).status == "off"
        assert session.expand_mentions("no @file").text == "no @file"
        await session.submit(ops.SetMode("plan"))
        await session.idle()
        assert session.options.approval_mode == "plan"
        assert reader.data("ready")[-1]["approval_mode"] == "plan"
        assert (await session.judge("ls")).kind == "allow"
        assert (await session.permissions()).answers == ()
        assert not await session.remove_permission(99)
        assert list(await session.runs.unfinished()) == list(await session.runs.ids()) == []
        assert list(await session.runs.check()) == list(await session.runs.stop()) == []
        assert await session.pending_approval() is None
        assert list(await session.queue()) == list(await session.plan()) == []


async def test_an_approval_is_asked_answered_and_the_turn_continues(talk: Any) -> None:
    async with talk(ASKED, {"text": "done"}, approval_mode="ask") as (session, reader):
        await session.submit(ops.UserInput("go"))
        await session.idle()
        assert (session.end.status, session.end.exit_code) == ("waiting", 3)
        [request] = (await session.pending_approval())["requests"]
        await session.submit(ops.ExecApproval({request["id"]: {"type": "approve"}}, by="web"))
        with pytest.raises(UsageError):
            await session.submit(ops.ExecApproval({request["id"]: {"type": "approve"}}))
        await session.idle()
        assert session.end.status == "done"
        assert reader.data("approval_answered") == [{"by": "web", "device": "", "answers": {request["id"]: "approve"}}]


async def test_messages_wait_are_changed_and_taken_back(talk: Any) -> None:
    waits = {"tool_calls": [bash("until [ -e over ]; do sleep 0.05; done")]}
    async with talk(waits, {"text": "one"}, {"text": "two"}) as (session, reader):
        await session.submit(ops.UserInput("first"))
        await reader.until("tool_call")
        await session.submit(ops.UserInput("second", id="m2"))
        await session.submit(ops.UserInput("third", id="m3"))
        await session.submit(ops.EditQueued("m2", "changed"))
        await session.submit(ops.Unqueue("m3"))
        assert [one.text for one in await session.queue()] == ["changed"]
        with pytest.raises(UsageError):
            await session.submit(ops.Unqueue("m3"))
        await session.submit(ops.Interrupt())
        await session.idle()
        assert session.end.status == "interrupted"
        assert reader.types().count("interrupted") == 1


async def test_another_thread(talk: Any) -> None:
    async with talk({"text": "hello"}) as (session, reader):
        first = session.thread_id
        await session.submit(ops.UserInput("go"))
        await session.submit(ops.Fork())
        await session.idle()
        second = session.thread_id
        assert second != first
        assert (await session.row()).parent == first
        await session.submit(ops.Resume(first))
        await session.idle()
        assert session.thread_id == first
        with pytest.raises(UsageError):
            async with session.all_threads().read("nothing"):
                pass
        assert reader.types().count("ready") == 3


async def test_a_client_that_comes_later_gets_the_state_first(opened: Open) -> None:
    async with opened({"text": "hello"}, ASKED, {"text": "done"}, approval_mode="ask") as session:
        await session.submit(ops.UserInput("go"))
        await session.submit(ops.UserInput("now"))
        await session.idle()
        async with attach(session.all_threads(), session.thread_id) as remote:
            reader = Reader(remote)
            assert remote.end == session.end
            await remote.idle()
            assert reader.types() == ["ready", "resumed", "processing", "approval_required"]
            assert reader.data("resumed")[0]["turns"] == 2
            [request] = reader.data("approval_required")[0]["requests"]
            await remote.submit(ops.ExecApproval({request["id"]: {"type": "reject"}}))
            await remote.idle()
            assert reader.types()[-1] == "turn_complete"
            await remote.close()
            await reader.task
        assert session.end is not None
        assert session.end.status == "done"


async def test_a_connection_that_breaks_again_and_again_loses_and_doubles_nothing(opened: Open) -> None:
    writers: list[asyncio.StreamWriter] = []
    async with opened(*[{"text": f"reply {number} " * 30} for number in range(6)]) as session:

        async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            channel = sockets.connect(data_home(), session.thread_id)
            reader, writer = await asyncio.open_unix_connection(sock=channel)
            writers.append(writer)
            return reader, writer

        remote = await RemoteSession.open(connect, session.all_threads(), name="web")
        reader = Reader(remote)

        async def cut() -> None:
            while True:
                await asyncio.sleep(0.02)
                writers[-1].transport.abort()

        cutting = asyncio.create_task(cut())
        for number in range(6):
            await remote.submit(ops.UserInput(f"message {number}"))
        await remote.idle()
        cutting.cancel()
        assert [one.text for one in await remote.history() if one.role == "user"] == [f"message {n}" for n in range(6)]
        numbers = [event.seq for event in reader.seen][1:]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert len(writers) > 3
        await remote.close()
        await reader.task


async def test_a_server_of_another_version_is_refused_with_both(opened: Open) -> None:
    async with opened() as session:

        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(json.dumps({"wire": 2, "version": "9.0"}).encode() + b"\n")
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        with pytest.raises(UsageError, match=r"9\.0 speaks version 2 of the format, this program 1"):
            await RemoteSession.open(lambda: asyncio.open_connection(*address), session.all_threads(), name="web")
        server.close()
