"""Opening a thread that another process has open: its session is used, and lives on."""

from pathlib import Path

import pytest

from ml_intern.configs.errors import TemporaryError, ThreadLocked, UsageError
from ml_intern.configs.paths import data_home
from ml_intern.graph import operations as ops
from ml_intern.session.opening.request import SessionRequest
from ml_intern.session.opening.session import Interface, open_session
from ml_intern.session.wire import sockets
from tests.session.conftest import bash
from tests.session.wire.conftest import Open
from tests.session.wire.test_contract import Reader

WAITS = {"tool_calls": [bash("until [ -e over ]; do sleep 0.05; done")]}


async def test_a_thread_that_is_open_elsewhere_is_attached_to(opened: Open) -> None:
    said: list[str] = []
    async with opened({"text": "hello"}, {"text": "again"}) as holder:
        await holder.submit(ops.UserInput("go"))
        await holder.idle()
        request = SessionRequest(thread=holder.thread_id[:8])
        async with open_session(request, Interface(said.append, attach_as="terminal")) as other:
            assert other.session.attached
            reader = Reader(other.session)
            await other.session.submit(ops.UserInput("more"))
            await other.session.idle()
            await other.session.close()
            await reader.task
        assert said == ["another process runs this thread: attached to it; its own options apply"]
        assert reader.types()[:2] == ["ready", "resumed"]
        assert [one.text for one in await holder.history()] == ["go", "hello", "more", "again"]
        with pytest.raises(ThreadLocked, match="is in use by process"):
            async with open_session(request, Interface(said.append)):
                pass


async def test_a_thread_that_is_open_elsewhere_is_changed_there(opened: Open, tmp_path: Path) -> None:
    async with opened({"text": "hello"}, WAITS, {"text": "done"}) as holder:
        threads = holder.all_threads()
        await holder.submit(ops.UserInput("go"))
        await holder.idle()
        async with threads.hold(holder.thread_id) as thread:
            await thread.rename("another title")
            assert (await thread.preview_undo(ops.Undo())).turns == 1
            moved = await thread.move(ops.Undo())
            assert (moved.turns, moved.text) == (1, "go")
            with pytest.raises(UsageError):
                await thread.move(ops.Undo())
            assert (await thread.move(ops.Redo())).turns == 1
        row = await holder.row()
        assert row is not None
        assert row.title == "another title"
        await holder.submit(ops.UserInput("wait"))
        async with threads.hold(holder.thread_id) as thread:
            while (row := await thread.row()) and row.state != "running":
                pass
            with pytest.raises(TemporaryError, match=r"a turn is running in thread"):
                await thread.move(ops.Undo())
        (tmp_path / "work" / "over").touch()
        await holder.idle()


async def test_a_process_that_does_not_answer_keeps_the_thread(opened: Open) -> None:
    async with opened({"text": "hello"}) as holder:
        await holder.submit(ops.UserInput("go"))
        await holder.idle()
        (data_home() / sockets.SOCKETS / sockets.socket_name(holder.thread_id)).unlink()
        with pytest.raises(ThreadLocked, match="is in use by process"):
            async with holder.all_threads().hold(holder.thread_id):
                pass
