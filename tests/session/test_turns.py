"""Turns can be taken back, brought back and copied; what was finished never runs again."""

from pathlib import Path

import pytest

from ml_intern.graph.operations import ExecApproval, Fork, New, Redo, Rename, Resume, Undo, UserInput
from ml_intern.session.agent import AgentSession
from tests.session.conftest import Lab, bash, data, turn, until


async def texts(session: AgentSession) -> list[str]:
    return [message.text for message in await session.messages()]


async def test_undo_takes_turns_back_and_redo_brings_them_again(lab: Lab) -> None:
    model = lab.script({"text": "A"}, {"text": "B"}, {"text": "C"}, {"text": "D"})
    async with lab.session(model) as session:
        for message in ("one", "two", "three"):
            await turn(session, UserInput(message))
        [undone] = data(await turn(session, Undo()), "undo_complete")
        assert (undone["turns"], undone["text"]) == (1, "three")
        assert await texts(session) == ["one", "A", "two", "B"]
        await turn(session, Undo())
        assert await texts(session) == ["one", "A"]
        await turn(session, Redo())
        await turn(session, Redo())
        assert await texts(session) == ["one", "A", "two", "B", "three", "C"]


async def test_an_undone_message_comes_back_whole_and_as_it_was_typed(lab: Lab) -> None:
    typed = "fit the model of @a.py to the first ten thousand rows, report macro F1, and keep the seed at 7"
    attached = f'{typed}\n\n<file path="a.py">\n1\n</file>'
    async with lab.session(lab.script({"text": "A"})) as session:
        await turn(session, UserInput(attached, typed=typed))
        [undone] = data(await turn(session, Undo()), "undo_complete")
    assert undone["text"] == typed


async def test_several_turns_are_undone_at_once_down_to_the_empty_thread(lab: Lab) -> None:
    async with lab.session(lab.script({"text": "A"}, {"text": "B"})) as session:
        await turn(session, UserInput("one"))
        await turn(session, UserInput("two"))
        [undone] = data(await turn(session, Undo(turns=9)), "undo_complete")
        assert undone["turns"] == 2
        assert await texts(session) == []
        await turn(session, Redo())
        assert await texts(session) == ["one", "A", "two", "B"]
        await turn(session, Undo(turns=2))
        await turn(session, UserInput("again"))
        assert await texts(session) == ["again", "A"]


async def test_new_input_after_an_undo_forgets_what_could_be_redone(lab: Lab) -> None:
    async with lab.session(lab.script({"text": "A"}, {"text": "B"}, {"text": "C"})) as session:
        await turn(session, UserInput("one"))
        await turn(session, UserInput("two"))
        await turn(session, Undo())
        await turn(session, UserInput("other"))
        events = await turn(session, Redo(), "error")
        assert data(events, "error")[0]["exit_code"] == 2
        assert await texts(session) == ["one", "A", "other", "B"]


async def test_nothing_to_undo_is_one_line(lab: Lab) -> None:
    async with lab.session(lab.script()) as session:
        events = await turn(session, Undo(), "error")
    assert "nothing to undo" in data(events, "error")[0]["message"]


async def test_finished_calls_do_not_run_again_through_undo_redo_and_fork(lab: Lab) -> None:
    model = lab.script({"tool_calls": [bash("echo x >> log")]}, {"text": "done"})
    async with lab.session(model) as session:
        await turn(session, UserInput("go"))
        await turn(session, Undo())
        await turn(session, Redo())
        await turn(session, Fork(), "resumed")
        await turn(session, Undo(), "error")
    assert (lab.workspace / "log").read_text() == "x\n"


async def test_an_undone_approval_is_not_pending_and_comes_back_closed(lab: Lab) -> None:
    model = lab.script({"tool_calls": [bash("touch no")]}, {"text": "ok"})
    async with lab.session(model, approval_mode="ask") as session:
        [asked] = data(await turn(session, UserInput("go")), "approval_required")
        await turn(session, Undo())
        answer = ExecApproval({asked["requests"][0]["id"]: {"type": "approve"}})
        assert data(await turn(session, answer, "error"), "error")[0]["exit_code"] == 2
        await turn(session, Redo())
        assert (await texts(session))[-1].startswith("Not run")
    assert not (lab.workspace / "no").exists()


async def test_branches_of_a_fork_do_not_see_each_other(lab: Lab) -> None:
    model = lab.script(*({"text": text} for text in "ABCDEF"))
    async with lab.session(model) as session:
        await turn(session, UserInput("one"))
        await turn(session, UserInput("two"))
        original = session.thread_id
        await turn(session, Fork(turn=1), "resumed")
        copy = session.thread_id
        assert copy != original
        await turn(session, UserInput("branch"))
        assert await texts(session) == ["one", "A", "branch", "B"]
        await turn(session, Resume(original), "resumed")
        await turn(session, UserInput("trunk"))
        assert await texts(session) == ["one", "A", "two", "B", "trunk", "C"]
        row = await session.services.store.threads.get(copy)
    assert row is not None
    assert (row.parent, row.forked_at, row.turns) == (original, 1, 2)


async def test_a_forks_open_calls_are_closed_in_the_copy_only(lab: Lab) -> None:
    model = lab.script({"tool_calls": [bash("echo x >> log")]}, {"text": "ok"})
    async with lab.session(model, approval_mode="ask") as session:
        [asked] = data(await turn(session, UserInput("go")), "approval_required")
        original = session.thread_id
        await turn(session, Fork(), "resumed")
        assert "not run in this branch" in (await texts(session))[-1].lower()
        await turn(session, Resume(original), "approval_required")
        await turn(session, ExecApproval({asked["requests"][0]["id"]: {"type": "approve"}}))
    assert (lab.workspace / "log").read_text() == "x\n"


async def test_spending_is_not_taken_back(lab: Lab) -> None:
    model = lab.script({"text": "A", "usage": {"input_tokens": 1, "cost_usd": 0.25}})
    async with lab.session(model) as session:
        await turn(session, UserInput("one"))
        await turn(session, Undo())
        assert (await session.totals()).cost_usd == pytest.approx(0.25)


async def test_a_new_thread_and_back_again(lab: Lab) -> None:
    async with lab.session(lab.script({"text": "A"}, {"text": "B"})) as session:
        await turn(session, UserInput("one"))
        first = session.thread_id
        await session.submit(Rename("my first"))
        await turn(session, New(), "ready")
        assert await texts(session) == []
        await turn(session, Resume("my first"), "resumed")
        assert session.thread_id == first
        events = await turn(session, Resume("no such thread"), "error")
        assert data(events, "error")[0]["exit_code"] == 2
        assert session.thread_id == first


async def test_a_thread_moves_to_the_folder_it_is_used_in(lab: Lab, tmp_path: Path) -> None:
    script = lab.script({"text": "A"}, {"text": "B"})
    async with lab.session(script) as session:
        await turn(session, UserInput("one"))
        thread = session.thread_id
    other = tmp_path / "other"
    other.mkdir()
    async with lab.session(script, thread=thread, workspace=str(other)) as session:
        assert data(await until(session, "resumed"), "resumed")[0]["moved_from"] == str(lab.workspace)
        await turn(session, UserInput("two"))
        row = await session.services.store.threads.get(thread)
        assert row is not None
        assert row.folder == str(other)


async def test_plan_and_iterations_survive_the_process(lab: Lab) -> None:
    plan = {"name": "plan", "args": {"steps": [{"text": "train", "status": "done"}]}}
    async with lab.session(lab.script({"tool_calls": [plan]}, {"text": "ok"})) as session:
        await turn(session, UserInput("go"))
        thread = session.thread_id
    async with lab.session(lab.script(), thread=thread) as session:
        await until(session, "resumed")
        assert await session.plan() == [{"text": "train", "status": "done"}]
