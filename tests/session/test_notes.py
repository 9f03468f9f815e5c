"""Notes of the program are a kind of their own wherever a thread is read."""

import pytest
from langchain_core.messages import HumanMessage

from ml_intern.graph.operations import Compact, RunCommand, Undo, UserInput
from ml_intern.graph.state import TYPED, note, role_of
from ml_intern.session.agent import AgentSession
from tests.session.conftest import Lab, data, turn

PLAN = {"name": "plan", "args": {"steps": [{"text": "train", "status": "in_progress"}]}}
NUDGED = ({"tool_calls": [PLAN]}, {"text": "bye"}, {"text": "bye"}, {"text": "really"})


async def others(session: AgentSession) -> list[tuple[str, str]]:
    """Role and first words of the messages that are neither replies nor results; history and export agree."""
    history, whole = await session.history(), (await session.conversation()).messages
    assert [(one.role, one.text) for one in history] == [(one.role, one.text) for one in whole]
    return [(one.role, one.text.split("`")[0][:13].strip()) for one in whole if one.role in ("user", "note")]


async def test_corrections_commands_and_undone_files_are_notes_also_after_a_resume_and_a_fork(lab: Lab) -> None:
    async with lab.session(lab.script(*NUDGED)) as session:
        await turn(session, UserInput("go"))
        await turn(session, RunCommand("echo hi"), "tool_output")
        await turn(session, UserInput("I ran nothing"))
        await turn(session, Undo(files="files"))
        expected = [
            ("user", "go"), ("note", "The plan has"), ("note", "The plan has"), ("note", "I ran"),
            ("user", "I ran nothing"), ("note", "I restored th"),
        ]  # fmt: skip
        thread, seen = session.thread_id, await others(session)
    assert [one for one in seen if one in expected] == expected
    for fork in (False, True):
        async with lab.session(lab.script(*NUDGED), thread=thread, fork=fork) as session:
            assert await others(session) == seen


async def test_a_compaction_keeps_users_and_notes_apart(lab: Lab) -> None:
    model = lab.script(*({"text": "long " * 400} for _ in range(6)))
    summary = lab.script({"summary": "Notes: all well."})
    async with lab.session(model, compact_model=summary, tool_names=("bash",)) as session:
        for number in range(5):
            await turn(session, UserInput(f"message {number}"))
            await turn(session, RunCommand(f"echo command {number}"), "tool_output")
        events = await turn(session, Compact(""), "turn_complete")
        roles = {text: role for role, text in await others(session)}
        summarised = next(m.text for m in await session.history() if m.text.startswith("Notes: all well."))
    assert data(events, "compacted")
    assert (roles["message 0"], roles["I ran"]) == ("user", "note")
    assert "The user also wrote:\nmessage 1" in summarised
    assert "wrote:\nI ran" not in summarised


@pytest.mark.parametrize(
    ("text", "typed", "role"),
    [
        ("I ran `ls -l`:\nfile", "ls -l", "note"),
        ("I ran `ls -l`. It was cut off and may have run in part.", "ls -l", "note"),
        ("I restored the files to their state at the start of turn 2: out reverted. Read them again.", "", "note"),
        ("I ran `ls -l`:\nfile", None, "user"),
        ("go on\n\nthe file", "go on", "user"),
        ("an imported message", "", "user"),
    ],
)
def test_records_of_an_older_database_are_notes(text: str, typed: str | None, role: str) -> None:
    assert role_of(HumanMessage(text, additional_kwargs={} if typed is None else {TYPED: typed})) == role


def test_a_note_is_a_note() -> None:
    assert role_of(note("go on", "n")) == role_of(note("I did it", "n", "it")) == "note"
