"""A live session on its unix socket: watchers, answers, lost and hostile clients. Real sockets, real sessions."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ml_intern.configs.paths import data_home, private_folder
from ml_intern.graph import operations as ops
from ml_intern.session.wire import codec, sockets
from ml_intern.store.lock import lock_thread
from ml_intern.store.store import LOCKS
from tests.session.conftest import bash
from tests.session.wire.conftest import Open, Raw, attach

SAY: dict[str, Any] = {"type": "user_input", "text": "go"}
BAD_LINES = (
    *(b"\xff\xfe", b"{", b"[]", b'"x"', b"{}", b"[" * 5000, b'{"id":1}', b'{"id":true,"get":"row"}'),
    *(b'{"id":null,"get":"row"}', b'{"id":"' + b"x" * 300 + b'","get":"row"}', b'{"id":1,"get":"row","do":{}}'),
    *(b'{"id":1,"get":"nothing"}', b'{"id":1,"get":["row"]}', b'{"id":1,"call":"row"}', b'{"id":1,"get":"stop_runs"}'),
    *(b'{"id":1,"get":"judge"}', b'{"id":1,"do":[]}', b'{"id":1,"do":{"type":"settle"}}'),
    *(b'{"wire":1,"name":""}', b'{"wire":1,"name":"a\\nb"}'),
)
ASKED = {"tool_calls": [bash("touch made")]}


def socket_of(thread_id: str) -> Path:
    return data_home() / sockets.SOCKETS / sockets.socket_name(thread_id)


async def test_a_client_submits_reads_and_watches(opened: Open) -> None:
    async with opened({"text": "hello"}) as session:
        client = await attach(session.thread_id)
        assert client.greeting["wire"] == codec.WIRE
        assert client.greeting["thread_id"] == session.thread_id
        assert await client.ask(id=1, watch={"after": None}) == {"id": 1, "ok": True}
        assert await client.ask(id="two", do=SAY) == {"id": "two", "ok": True}
        end = await client.until("turn_complete")
        assert (end["data"]["status"], end["data"]["text"]) == ("done", "hello")
        assert await client.ask(id=3, get="idle") == {"id": 3, "value": None}
        history = (await client.ask(id=4, get="history"))["value"]
        assert [(one["role"], one["text"]) for one in history] == [("user", "go"), ("assistant", "hello")]
        for number, name in enumerate(("row", "plan", "turns", "queue", "totals", "spending", "pending_approval", "end",
                                       "conversation", "options", "model", "tools", "servers", "permissions", "threads",
                                       "run_ids", "runs", "check_runs", "usage"), 5):  # fmt: skip
            assert "value" in (reply := await client.ask(id=number, get=name)), (name, reply)
        preview = await client.ask(id=30, get="preview_undo", args={"turns": 1})
        assert preview.get("value", preview)["turns"] == 1
        numbers = [one["event"]["seq"] for one in client.events]
        assert numbers == list(range(client.greeting["seq"] + 1, numbers[-1] + 1))
    assert (await client.until("shutdown"))["data"] == {"reason": "closed"}
    with pytest.raises(EOFError):
        await client.line()
    assert list((data_home() / sockets.SOCKETS).iterdir()) == []


async def test_the_socket_belongs_to_its_user_alone(opened: Open) -> None:
    async with opened() as session:
        path = socket_of(session.thread_id)
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
async def test_another_user_is_refused_even_where_the_modes_let_it_in(opened: Open, tmp_path: Path) -> None:
    async with opened() as session:
        path = socket_of(session.thread_id)
        for folder in (path.parent, *path.parent.parents):
            if folder.stat().st_uid == 0 and tmp_path.parents[2] in (folder, *folder.parents):
                folder.chmod(0o755)
        path.chmod(0o777)
        code = "import socket,sys; s=socket.socket(1); s.settimeout(9); s.connect(sys.argv[1]); print(s.recv(9))"
        command = ["setpriv", "--reuid=65534", "--clear-groups", "/usr/bin/python3", "-c", code, str(path)]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
        assert done.stdout == "b''\n", done.stderr


async def test_a_command_of_the_agent_cannot_answer_for_its_user(opened: Open) -> None:
    connect = f"{sys.executable} -c 'import socket,sys; s=socket.socket(1); s.connect(sys.argv[1]); print(s.recv(9))'"
    async with opened() as session:
        place = socket_of(session.thread_id)
        process = await asyncio.create_subprocess_shell(f"{connect} {place}", stdout=subprocess.PIPE)
        out, _ = await process.communicate()
        assert out == b"b''\n"


async def test_two_answers_at_once_one_wins_and_the_other_learns_who(opened: Open) -> None:
    async with opened(ASKED, {"text": "done"}, approval_mode="ask") as session:
        first, second = await attach(session.thread_id, "web"), await attach(session.thread_id, "phone")
        await first.ask(id=1, watch={"after": None})
        await first.ask(id=2, do=SAY)
        [request] = (await first.until("approval_required"))["data"]["requests"]
        answer = {"type": "exec_approval", "decisions": {request["id"]: {"type": "approve"}}, "device": "Safari"}
        wrong = {"type": "exec_approval", "decisions": {"other": {"type": "approve"}}}
        refused = await second.ask(id=0, do=wrong)
        assert refused["error"]["message"] == "no such request: other"
        refused = await second.ask(id="long", do={**answer, "device": "x\n"})
        assert "device is not a text" in refused["error"]["message"]
        replies = await asyncio.gather(first.ask(id=3, do=answer), second.ask(id=3, do=answer))
        [lost] = [one for one in replies if "error" in one]
        winner, where = (
            ("phone", "by phone (Safari)") if "error" in replies[0] else ("web", "from the web page (Safari)")
        )
        assert lost["error"]["message"] == f"this approval was already answered {where}"
        seen = first.events
        answered = [one["event"]["data"] for one in seen if one.get("event", {}).get("type") == "approval_answered"]
        answered = answered or [(await first.until("approval_answered"))["data"]]
        assert answered == [{"by": winner, "device": "Safari", "answers": {request["id"]: "approve"}}]
        await first.until("turn_complete")
        late = await second.ask(id=4, do=answer)
        assert late["error"]["code"] == "usage_error"
        assert where in late["error"]["remedy"]


async def test_an_operation_sent_again_is_answered_again_and_done_once(opened: Open) -> None:
    async with opened({"text": "one"}, {"text": "two"}) as session:
        client = await attach(session.thread_id, client="c1")
        renamed = {"type": "rename", "title": "first"}
        refused = {"type": "steer", "id": "nobody"}
        assert await client.ask(id="a", do=renamed) == {"id": "a", "ok": True}
        error = await client.ask(id="b", do=refused)
        await client.ask(id=1, get="idle")
        await client.ask(id="c", do={"type": "rename", "title": "second"})
        client.close()
        again = await attach(session.thread_id, client="c1")
        other = await attach(session.thread_id, client="c2")
        assert await again.ask(id="a", do=renamed) == {"id": "a", "ok": True}
        assert await again.ask(id="b", do=SAY) == error
        await again.ask(id=2, get="idle")
        await again.ask(id="d", do=SAY)
        await again.ask(id=3, get="at_rest")
        assert (await again.ask(id=4, get="row"))["value"]["title"] == "second"
        assert (await other.ask(id="b", do=refused))["error"]["code"] == "usage_error"
        assert [one["text"] for one in (await again.ask(id=5, get="history"))["value"]] == ["go", "one"]


async def test_after_a_lost_connection_the_events_continue_without_a_gap(opened: Open) -> None:
    async with opened(*[{"text": f"reply {number}"} for number in range(8)]) as session:
        client = await attach(session.thread_id)
        seen: list[int] = []
        for number in range(8):
            await client.ask(id=number, watch={"after": seen[-1] if seen else client.greeting["seq"]})
            await session.submit(ops.UserInput(f"message {number}"))
            await client.until("assistant_message")
            seen += [one["event"]["seq"] for one in client.events]
            client.close()
            await session.idle()
            client = await attach(session.thread_id)
        await client.ask(id="last", watch={"after": seen[-1]})
        await session.submit(ops.Rename("over"))
        while seen[-1] < client.greeting["seq"]:
            seen.append((await client.line())["event"]["seq"])
    assert seen == list(range(seen[0], seen[-1] + 1))


async def test_a_number_that_is_not_known_gives_a_reset(opened: Open) -> None:
    async with opened() as session:
        client = await attach(session.thread_id)
        await client.ask(id=1, watch={"after": 10_000})
        assert await client.line() == {"reset": True, "seq": client.greeting["seq"]}
        assert "error" in await client.ask(id=2, watch={"after": 1})
        for after in (-1, 1.5, "1", True):
            assert "error" in await (await attach(session.thread_id)).ask(id=1, watch={"after": after})


async def test_a_watcher_that_never_reads_delays_nobody(opened: Open, tmp_path: Path) -> None:
    waiting = {"tool_calls": [bash("until [ -e over ]; do sleep 0.05; done")]}
    async with opened(waiting, {"text": "done"}, {"text": "done"}) as session:
        asleep, awake = await attach(session.thread_id), await attach(session.thread_id)
        asleep.send(id=1, watch={"after": 0})
        await awake.ask(id=1, watch={"after": None})
        await awake.ask(id=2, do=SAY)
        await awake.until("tool_call")
        await awake.ask(id=3, do={**SAY, "id": "m"})
        for number in range(60):
            text = f"{number} {'x' * 300_000}"
            await awake.ask(id=4 + number, do={"type": "edit_queued", "id": "m", "text": text})
        (tmp_path / "work" / "over").touch()
        assert (await awake.until("turn_complete"))["data"]["status"] == "done"
        lines = [asleep.greeting]
        while lines[-1].get("event", {}).get("type") != "turn_complete":
            lines.append(await asleep.line())
    kept = [one["event"] for one in awake.events if "event" in one]
    assert len([one for one in kept if one["type"] == "queue"]) >= 60
    assert len([line for line in lines if "reset" in line]) == 2  # before its connection, and while it did not read
    numbers = [line["event"]["seq"] for line in lines if "event" in line]
    assert numbers == sorted(set(numbers))


async def test_bad_lines_are_refused_and_the_connection_lives_on(opened: Open) -> None:
    async with opened({"text": "hello"}) as session:
        client = await attach(session.thread_id)
        for line in BAD_LINES:
            client.writer.write(line + b"\n\n")
            assert (await client.line())["error"]["code"] == "usage_error", line
        assert (await client.ask(id=2, do=SAY))["ok"]


async def test_a_line_of_100_mb_is_skipped_while_it_arrives(opened: Open) -> None:
    async with opened() as session:
        client = await attach(session.thread_id)
        for _ in range(100):
            client.writer.write(b"x" * 1_000_000)
            await client.writer.drain()
        client.writer.write(b"\n")
        reply = await client.line()
        assert (reply["id"], reply["error"]["code"]) == (None, "line_too_long")
        assert "value" in await client.ask(id=1, get="row")


async def test_a_client_of_another_version_is_told_both_versions(opened: Open) -> None:
    async with opened() as session:
        for wire in (2, 0, "1", None):
            client = Raw(*await asyncio.open_unix_connection(sock=sockets.connect(data_home(), session.thread_id)))
            version = (await client.line())["version"]
            client.send(wire=wire)
            error = (await client.line())["error"]
            assert error["code"] == "wire_version"
            assert version in error["message"]
            assert f"the client version {wire}" in error["message"]
            with pytest.raises(EOFError):
                await client.line()


async def test_clients_that_are_gone_or_silent_do_not_keep_the_session_open(opened: Open) -> None:
    async with opened({"text": "hello"}) as session:
        silent = [sockets.connect(data_home(), session.thread_id) for _ in range(20)]
        half = await attach(session.thread_id)
        half.writer.write(b'{"id":1,"do":')
        half.writer.write_eof()
        gone = await attach(session.thread_id)
        gone.send(id=1, watch={"after": None})
        gone.close()
        client = await attach(session.thread_id)
        await client.ask(id=1, do=SAY)
        await client.ask(id=2, get="at_rest")
    for channel in silent:
        channel.close()


async def test_the_connection_follows_the_session_to_another_thread(opened: Open) -> None:
    async with opened({"text": "hello"}) as session:
        first = session.thread_id
        client = await attach(first)
        await client.ask(id=1, watch={"after": None})
        client.send(id=2, do={"type": "new"})  # the event may come before the answer
        second = (await client.until("ready"))["thread_id"]
        assert second != first
        assert not socket_of(first).exists()
        assert (await attach(second)).greeting["thread_id"] == second
        late = await attach(second)
        await late.ask(id=1, watch={"after": 0})
        assert [(await late.until("ready"))["thread_id"], late.events[0]["event"]["type"]] == [second, "ready"]
        await late.ask(id=2, do=SAY)
        assert (await client.until("turn_complete"))["seq"] == (await late.until("turn_complete"))["seq"]


async def test_the_socket_of_a_killed_process_is_replaced_and_others_are_removed(opened: Open) -> None:
    async with opened({"text": "hello"}) as session:
        thread = session.thread_id
        await session.submit(ops.UserInput("go"))
        await session.idle()
    for path in (socket_of(thread), socket_of("another")):
        with socket.socket(socket.AF_UNIX) as dead, sockets.address(path.parent, path.name) as place:
            dead.bind(place)
    async with opened(thread=thread) as session:
        assert (await attach(thread)).greeting["thread_id"] == thread
        assert not socket_of("another").exists()


async def test_the_start_of_a_session_does_not_connect_to_the_others(opened: Open) -> None:
    locks = private_folder(data_home() / LOCKS)
    place = private_folder(data_home() / sockets.SOCKETS) / sockets.socket_name("another")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(place))
        other.listen()
        other.setblocking(False)
        async with lock_thread(locks, "another"), opened():
            assert place.exists()
            with pytest.raises(BlockingIOError):
                other.accept()


async def test_a_data_folder_with_a_long_path(opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_INTERN_HOME", str(tmp_path / ("x" * 60) / ("y" * 60)))
    async with opened() as session:
        client = await attach(session.thread_id)
        assert client.greeting["thread_id"] == session.thread_id
    assert list((data_home() / sockets.SOCKETS).iterdir()) == []


async def test_nothing_is_served_for_a_thread_that_is_not_saved(opened: Open) -> None:
    async with opened(ephemeral=True) as session:
        with pytest.raises(OSError, match="No such file"):
            sockets.connect(data_home(), session.thread_id)
