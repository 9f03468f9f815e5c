"""Undo and redo restore a turn's files; effects that cannot be undone are listed."""

import asyncio
import os
from pathlib import Path

import pytest

from ml_intern.graph.operations import ExecApproval, Interrupt, Redo, RunCommand, Undo, UserInput
from ml_intern.runs.poll import stop
from ml_intern.session.agent import AgentSession
from ml_intern.snapshots.records import shadow_folder
from ml_intern.store.lock import open_lock_file, try_lock
from tests.session.conftest import Lab, bash, data, turn, until
from tests.snapshots.workspace import git, picture, repository


async def notes(session: AgentSession, operation: Undo | Redo) -> str:
    """Return the notes of an undo or a redo as one text."""
    [moved] = data(await turn(session, operation, "undo_complete", "error"), "undo_complete")
    return "\n".join(moved["notes"])


def two_turns(lab: Lab) -> str:
    """A model that writes `f` in its first turn, and `f` and `g` in its second."""
    return lab.script(
        {"tool_calls": [bash("echo one > f")]},
        {"text": "A"},
        {"tool_calls": [bash("echo two > f; mkdir d; echo two > d/g")]},
        {"text": "B"},
        {"text": "C"},
    )


async def test_undo_and_redo_restore_files_turn_by_turn(lab: Lab) -> None:
    (lab.workspace / "own").write_text("mine")
    async with lab.session(two_turns(lab)) as session:
        pictures = [picture(lab.workspace)]
        for message in ("one", "two"):
            await turn(session, UserInput(message))
            pictures.append(picture(lab.workspace))
        said = await notes(session, Undo())
        assert "the files are as they were at the start of turn 2: removed d/g; reverted f" in said
        assert picture(lab.workspace) == pictures[1]
        await turn(session, Undo())
        assert picture(lab.workspace) == pictures[0]
        await turn(session, Redo())
        assert picture(lab.workspace) == pictures[1]
        await turn(session, Redo())
        assert picture(lab.workspace) == pictures[2]
        await turn(session, Undo(turns=2))
        assert picture(lab.workspace) == pictures[0]
        await turn(session, Redo())
        assert picture(lab.workspace) == pictures[2]


async def test_undo_works_in_a_later_process(lab: Lab) -> None:
    async with lab.session(two_turns(lab)) as session:
        await turn(session, UserInput("one"))
        thread = session.thread_id
    async with lab.session(lab.script(), thread=thread) as session:
        await until(session, "resumed")
        await turn(session, Undo())
        assert picture(lab.workspace) == {}
        await turn(session, Redo())
    assert (lab.workspace / "f").read_text() == "one\n"


async def test_undoing_only_the_conversation_leaves_the_files(lab: Lab) -> None:
    async with lab.session(two_turns(lab)) as session:
        await turn(session, UserInput("one"))
        assert "the files stay as they are" in await notes(session, Undo(files="conversation"))
        assert await session.messages() == []
        assert (lab.workspace / "f").read_text() == "one\n"
        await turn(session, Redo())
        assert (lab.workspace / "f").read_text() == "one\n"
        assert len(await session.messages()) == 4


async def test_undoing_only_the_files_notifies_the_model_and_can_be_redone(lab: Lab) -> None:
    async with lab.session(two_turns(lab)) as session:
        await turn(session, UserInput("one"))
        await turn(session, UserInput("two"))
        [moved] = data(await turn(session, Undo(turns=2, files="files")), "undo_complete")
        assert moved["turns"] == 0
        assert picture(lab.workspace) == {}
        history = await session.messages()
        assert "start of turn 1: removed d/g, f" in history[-1].text
        assert len(history) == 9
        await turn(session, Redo())
        assert len(await session.messages()) == 8
        assert (lab.workspace / "f").read_text() == "two\n"


async def test_only_the_files_can_be_redone(lab: Lab) -> None:
    async with lab.session(two_turns(lab)) as session:
        await turn(session, UserInput("one"))
        await turn(session, Undo())
        await turn(session, Redo(files="files"))
        assert (lab.workspace / "f").read_text() == "one\n"
        assert await session.messages() == []


async def test_undoing_a_turn_without_tools_leaves_the_users_edits(lab: Lab) -> None:
    async with lab.session(lab.script({"text": "just words"})) as session:
        await turn(session, UserInput("a question"))
        (lab.workspace / "mine").write_text("edited meanwhile")
        found = await session.preview_undo(Undo())
        assert (found.changes, found.notes) == ((), [])
        assert await notes(session, Undo()) == ""
        assert (lab.workspace / "mine").read_text() == "edited meanwhile"


async def test_the_preview_shows_what_undo_would_do(lab: Lab) -> None:
    async with lab.session(two_turns(lab)) as session:
        await turn(session, UserInput("one"))
        await turn(session, UserInput("two"))
        before = picture(lab.workspace)
        found = await session.preview_undo(Undo(2))
        assert (found.turns, found.text) == (2, "one")
        assert [(one.path, one.kind, one.added, one.removed) for one in found.changes] == [
            ("d/g", "removed", 0, 1),
            ("f", "removed", 0, 1),
        ]
        assert picture(lab.workspace) == before
        assert [(one.number, one.text) for one in await session.turns()] == [(1, "one"), (2, "two")]
        assert all(one.ended for one in await session.turns())


async def test_tools_wait_for_the_turns_snapshot(lab: Lab) -> None:
    (lab.workspace / "f").write_text("before")
    folder = shadow_folder(lab.home.resolve(), lab.workspace.resolve())
    folder.mkdir(parents=True)
    descriptor = open_lock_file(folder / "lock")
    assert try_lock(descriptor)
    async with lab.session(two_turns(lab)) as session:
        await turn(session, UserInput("one"), "assistant_message")
        await asyncio.sleep(0.05)
        assert (lab.workspace / "f").read_text() == "before"
        os.close(descriptor)
        await until(session, "turn_complete")
        assert (lab.workspace / "f").read_text() == "one\n"
        await turn(session, Undo())
    assert (lab.workspace / "f").read_text() == "before"


async def test_a_turn_approved_after_a_restart_is_undone_with_its_files(lab: Lab) -> None:
    model = two_turns(lab)
    async with lab.session(model, approval_mode="ask") as session:
        await turn(session, UserInput("one"))
        thread = session.thread_id
    async with lab.session(model, thread=thread, approval_mode="ask") as session:
        [asked] = data(await until(session, "approval_required"), "approval_required")
        await turn(session, ExecApproval({asked["requests"][0]["id"]: {"type": "approve"}}))
        assert (lab.workspace / "f").exists()
        await turn(session, Undo())
    assert picture(lab.workspace) == {}


async def test_an_interrupted_turn_is_undone_with_its_files(lab: Lab) -> None:
    model = lab.script({"tool_calls": [bash("echo half > f; echo started; sleep 60")]}, {"text": "never"})
    async with lab.session(model) as session:
        await turn(session, UserInput("go"), "tool_log")
        await turn(session, Interrupt(), "interrupted")
        assert (lab.workspace / "f").exists()
        await turn(session, Undo())
    assert picture(lab.workspace) == {}


async def test_undo_lists_external_effects_that_stay(lab: Lab) -> None:
    repository(lab.workspace)
    git(lab.workspace, "config", "user.name", "A")
    git(lab.workspace, "config", "user.email", "a@example.org")
    command = "echo x > f && git add f && git commit -qm 'by the agent'; git push origin main; pip install nothing-such"
    model = lab.script({"tool_calls": [bash(command)]}, {"text": "done"})
    async with lab.session(model, approval_mode="yolo") as session:
        await turn(session, UserInput("ship it"))
        found = await session.preview_undo(Undo())
        said = await notes(session, Undo())
    assert "not undone: pushes (git push origin main)" in said
    assert "not undone: changes to the Git repository (git add f" in said
    assert "not undone: packages (pip install nothing-such)" in said
    assert [note for note in found.notes if note.startswith("not undone")] == [
        note for note in said.splitlines() if note.startswith("not undone")
    ]
    assert not (lab.workspace / "f").exists()
    assert "by the agent" in git(lab.workspace, "log", "--oneline")


async def test_undo_lists_runs_that_continue(lab: Lab) -> None:
    launch = {"name": "bash", "args": {"command": "sleep 60", "background": True}}
    model = lab.script({"tool_calls": [launch]}, {"text": "done"})
    async with lab.session(model, approval_mode="yolo") as session:
        store = session.services.store
        await turn(session, UserInput("one"))
        (run,) = await store.runs.unfinished(session.thread_id)
        said = await notes(session, Undo())
        await stop(store, run)
    assert "not undone: runs in progress, which may still change files (sleep 60)" in said


async def test_undo_lists_files_it_did_not_restore(lab: Lab) -> None:
    (lab.workspace / ".gitignore").write_text("*.ckpt\n")
    with (lab.workspace / "big").open("wb") as file:
        file.truncate(60_000_000)
    model = lab.script({"tool_calls": [bash("echo x > f; echo x > m.ckpt")]}, {"text": "done"})
    async with lab.session(model) as session:
        await turn(session, UserInput("go"))
        said = await notes(session, Undo())
    assert "not restored: big (60 MB)" in said
    assert "ignored files are not changed: m.ckpt" in said
    assert sorted(path.name for path in lab.workspace.iterdir()) == [".gitignore", "big", "m.ckpt"]


async def test_in_another_folder_only_the_conversation_is_undone(lab: Lab, tmp_path: Path) -> None:
    async with lab.session(two_turns(lab)) as session:
        await turn(session, UserInput("one"))
        thread = session.thread_id
    (tmp_path / "elsewhere").mkdir()
    async with lab.session(lab.script(), thread=thread, workspace=str(tmp_path / "elsewhere")) as session:
        await until(session, "resumed")
        assert "that turn ran in another folder" in await notes(session, Undo())
        assert await session.messages() == []
    assert (lab.workspace / "f").exists()


async def test_with_a_missing_workspace_only_the_conversation_is_undone(lab: Lab) -> None:
    async with lab.session(two_turns(lab)) as session:
        await turn(session, UserInput("one"))
        (lab.workspace / "f").unlink()
        lab.workspace.rmdir()
        [error] = data(await turn(session, Undo(files="files"), "error"), "error")
        missing = f"the folder {lab.workspace} no longer exists"
        assert error["message"] == f"the files cannot be restored: {missing}"
        assert f"the files stay as they are: the folder {lab.workspace} no longer exists" in await notes(
            session, Undo()
        )
        assert await session.messages() == []


async def test_without_git_a_note_is_shown_and_only_conversations_are_undone(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("bash", "mkdir"):
        (tmp_path / "bin" / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    async with lab.session(two_turns(lab)) as session:
        [ready] = data(await until(session, "ready"), "ready")
        assert ready["notes"] == ["undo cannot restore files: git is not on PATH"]
        await turn(session, UserInput("one"))
        assert "the files stay as they are: git is not on PATH" in await notes(session, Undo())
        assert await session.messages() == []
    assert (lab.workspace / "f").read_text() == "one\n"


async def test_a_failed_snapshot_does_not_fail_the_turn(lab: Lab) -> None:
    lab.home.mkdir()
    (lab.home / "snapshots").write_text("in the way")
    async with lab.session(two_turns(lab)) as session:
        events = await turn(session, UserInput("one"), "turn_complete")
        [warning] = data(events, "error")
        assert warning["exit_code"] is None
        assert warning["message"].startswith("undo cannot restore the files of this turn")
        assert data(events, "turn_complete")[0]["status"] == "done"
        assert "the files stay as they are" in await notes(session, Undo())
        assert await session.messages() == []


async def test_the_users_own_command_is_undone_and_redone_with_the_previous_turn(lab: Lab) -> None:
    async with lab.session(two_turns(lab)) as session:
        await turn(session, UserInput("one"))
        await turn(session, RunCommand("echo by hand > h"), "tool_output")
        await turn(session, Undo())
        assert picture(lab.workspace) == {}
        await turn(session, Redo())
    assert (lab.workspace / "h").read_text() == "by hand\n"
