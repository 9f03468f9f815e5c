"""What the model has read belongs to the thread: it survives a restart and a fork, and undo takes it back."""

from typing import Any

import pytest

from ml_intern.execution.calls import silent, tool_context
from ml_intern.execution.sandboxed import send_limits
from ml_intern.graph.operations import Compact, Redo, Undo, UserInput
from ml_intern.outbound.exporting.formats import export_conversation
from ml_intern.outbound.importing.reading import read_conversation
from tests.session.conftest import Lab, data, turn, until

READ = {"tool_calls": [{"name": "read", "args": {"path": "a"}}]}
EDIT = {"tool_calls": [{"name": "edit", "args": {"path": "a", "old": "one", "new": "two"}}]}
END = {"text": "end"}


async def first_turn(lab: Lab, *steps: dict[str, Any]) -> str:
    """Run a first turn; the thread."""
    (lab.workspace / "a").write_text("one\n")
    async with lab.session(lab.script(*steps, END)) as session:
        await turn(session, UserInput("go"))
        return session.thread_id


async def edited(lab: Lab, thread: str, *, replies: int = 2, fork: bool = False) -> bool:
    """Let the thread edit the file in another session; whether it was allowed to."""
    model = lab.script(*[END] * replies, EDIT, END)
    async with lab.session(model, thread=thread, fork=fork) as session:
        await until(session, "resumed")
        events = await turn(session, UserInput("edit"))
    return bool(data(events, "tool_output")[0]["ok"])


async def test_a_file_read_before_a_restart_can_be_edited(lab: Lab) -> None:
    assert await edited(lab, await first_turn(lab, READ))


async def test_all_reads_of_one_reply_are_remembered(lab: Lab) -> None:
    for name in ("a", "b", "c"):
        (lab.workspace / name).write_text("one\n")
    reads = [{"name": "read", "args": {"path": name}} for name in ("a", "b", "c")]
    edits = [{"name": "edit", "args": {"path": name, "old": "one", "new": "two"}} for name in ("a", "b", "c")]
    async with lab.session(lab.script({"tool_calls": reads}, {"tool_calls": edits}, END)) as session:
        events = await turn(session, UserInput("go"))
    assert [output["ok"] for output in data(events, "tool_output")] == [True] * 6


async def test_a_fork_knows_what_was_read(lab: Lab) -> None:
    assert await edited(lab, await first_turn(lab, READ), fork=True)


async def test_a_file_that_changed_since_must_be_read_again(lab: Lab) -> None:
    thread = await first_turn(lab, READ)
    (lab.workspace / "a").write_text("one more\n")
    assert not await edited(lab, thread)


async def test_undo_takes_back_what_was_read_and_redo_restores_it(lab: Lab) -> None:
    thread = await first_turn(lab)
    async with lab.session(lab.script(END, READ, END), thread=thread) as session:
        await until(session, "resumed")
        await turn(session, UserInput("read"))
        await turn(session, Undo())
        values = (await session._turns.snapshot()).values
        assert values["file_reads"] == {}
        await turn(session, Redo())
    assert await edited(lab, thread, replies=3)


async def test_undo_of_every_turn_takes_back_what_was_read(lab: Lab) -> None:
    thread = await first_turn(lab, READ)
    async with lab.session(lab.script(), thread=thread) as session:
        await until(session, "resumed")
        await turn(session, Undo())
        assert (await session._turns.snapshot()).values["file_reads"] == {}


async def test_a_compaction_keeps_what_was_read(lab: Lab) -> None:
    thread = await first_turn(lab, READ)
    async with lab.session(lab.script(END, END), thread=thread) as session:
        await until(session, "resumed")
        await turn(session, Compact())
    assert await edited(lab, thread)


async def test_an_import_knows_what_was_read(lab: Lab) -> None:
    thread = await first_turn(lab, READ)
    async with lab.session(lab.script(), thread=thread) as session:
        await until(session, "resumed")
        text = export_conversation(await session.conversation(), "openai")
        imported = await session.all_threads().import_conversation(
            read_conversation(text, "x.json").conversation, str(lab.workspace), "x.json"
        )
    assert await edited(lab, imported.id)


async def test_reads_and_writes_of_one_reply_know_of_each_other(lab: Lab) -> None:
    both = {"tool_calls": [*READ["tool_calls"], *EDIT["tool_calls"]]}
    (lab.workspace / "a").write_text("one\n")
    async with lab.session(lab.script(both, END)) as session:
        events = await turn(session, UserInput("go"))
    assert [output["ok"] for output in data(events, "tool_output")] == [True, True]


@pytest.mark.parametrize(("name", "limited"), [(".env", True), ("keys/server.pem", True), ("a", False)])
async def test_a_mentioned_file_was_read_and_a_private_one_limits_what_is_sent(
    lab: Lab, name: str, *, limited: bool
) -> None:
    path = lab.workspace / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("one\n")
    text = f"look at @{name}"
    edit = {"name": "edit", "args": {"path": name, "old": "one", "new": "two"}}
    async with lab.session(lab.script({"tool_calls": [edit]}, END), approval_mode="yolo") as session:
        events = await turn(session, UserInput(session.expand_mentions(text).text, typed=text))
        assert data(events, "tool_output")[0]["ok"]
        values: Any = (await session._turns.snapshot()).values
        options = lab.options("none")
        context = tool_context(values, session.thread_id, options, session.services, silent)
        assert bool(send_limits(context)) is limited


async def test_a_file_that_a_message_only_names_was_not_read(lab: Lab) -> None:
    (lab.workspace / "a").write_text("one\n")
    (lab.home.parent / "mine.env").write_text("one\n")
    text = "look at @a and @../mine.env"
    async with lab.session(lab.script(END, END)) as session:
        await turn(session, UserInput(text))
        await turn(session, UserInput(f"{text}\n", typed=text))
        assert list((await session._turns.snapshot()).values["file_reads"]) == [str(lab.workspace / "a")]
