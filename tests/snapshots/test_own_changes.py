"""Undo leaves the files that the user changed outside the turns, and redo brings back what undo took."""

import os
from pathlib import Path

import pytest

from ml_intern.graph.operations import ExecApproval, Redo, RunCommand, SetEffort, Undo, UserInput
from ml_intern.session.agent import AgentSession
from tests.session.conftest import Lab, bash, data, turn, until
from tests.snapshots.test_files_undo import notes, two_turns
from tests.snapshots.workspace import picture


async def listed(session: AgentSession, operation: Undo) -> tuple[dict[str, str], dict[str, str]]:
    """Return the kinds of the changes of an undo, and of those that it does not make."""
    found = await session.preview_undo(operation)
    return tuple({change.path: change.kind for change in changes} for changes in (found.changes, found.kept))  # type: ignore[return-value]


async def test_files_made_by_hand_after_the_last_turn_stay(lab: Lab) -> None:
    async with lab.session(two_turns(lab)) as session:
        await turn(session, UserInput("one"))
        (lab.workspace / "mine").write_text("by hand")
        (lab.workspace / "folder").mkdir()
        before = picture(lab.workspace)
        assert await listed(session, Undo()) == ({"f": "removed"}, {"mine": "removed"})
        assert "changed by you, kept: mine (--all-files includes them)" in await notes(session, Undo())
        assert set(picture(lab.workspace)) == {b"mine", b"folder"}
        await turn(session, Redo())
        assert picture(lab.workspace) == before


async def test_all_files_includes_those_of_the_user_and_redo_restores_them(lab: Lab) -> None:
    async with lab.session(two_turns(lab)) as session:
        await turn(session, UserInput("one"))
        (lab.workspace / "mine").write_text("by hand")
        before = picture(lab.workspace)
        assert await listed(session, Undo(all_files=True)) == ({"f": "removed", "mine": "removed"}, {})
        await turn(session, Undo(all_files=True))
        assert picture(lab.workspace) == {}
        await turn(session, Redo())
        assert picture(lab.workspace) == before


async def test_an_undo_of_two_turns_keeps_what_the_user_changed_between_them(lab: Lab) -> None:
    (lab.workspace / "old").write_text("old")
    async with lab.session(two_turns(lab)) as session:
        await turn(session, UserInput("one"))
        (lab.workspace / "between").write_text("by hand")
        (lab.workspace / "old").write_text("edited by hand")
        await turn(session, UserInput("two"))
        before = picture(lab.workspace)
        changes, kept = await listed(session, Undo(2))
        assert changes == {"f": "removed", "d/g": "removed"}
        assert kept == {"between": "removed", "old": "changed"}
        await turn(session, Undo(2))
        assert set(picture(lab.workspace)) == {b"between", b"old"}
        assert (lab.workspace / "old").read_text() == "edited by hand"
        await turn(session, Redo())
        assert picture(lab.workspace) == before


async def test_one_turn_is_undone_to_the_users_version_before_it(lab: Lab) -> None:
    async with lab.session(two_turns(lab)) as session:
        await turn(session, UserInput("one"))
        (lab.workspace / "f").write_text("edited by hand")
        await turn(session, UserInput("two"))
        assert await listed(session, Undo()) == ({"f": "changed", "d/g": "removed"}, {})
        await turn(session, Undo())
        assert (lab.workspace / "f").read_text() == "edited by hand"
        assert await listed(session, Undo()) == ({}, {"f": "removed"})


async def test_files_of_the_agent_that_the_user_edited_or_deleted_stay(lab: Lab) -> None:
    for name in ("edited", "deleted", "linked"):
        (lab.workspace / name).write_text("before")
    command = "for f in edited deleted linked; do echo agent > $f; done; echo x > new; echo x > gone; chmod +x new"
    async with lab.session(lab.script({"tool_calls": [bash(command)]}, {"text": "A"})) as session:
        await turn(session, UserInput("go"))
        (lab.workspace / "edited").write_text("by hand")
        for name in ("deleted", "gone", "linked"):
            (lab.workspace / name).unlink()
        (lab.workspace / "linked").symlink_to("edited")
        expected = {"edited": "changed", "deleted": "created", "linked": "changed"}
        assert await listed(session, Undo()) == ({"new": "removed"}, expected)
        await turn(session, Undo())
        assert {os.fsdecode(path) for path in picture(lab.workspace)} == {"edited", "linked"}
        assert (lab.workspace / "edited").read_text() == "by hand"
        await turn(session, Redo())
        assert os.access(lab.workspace / "new", os.X_OK)
        assert not (lab.workspace / "deleted").exists()


async def test_an_executable_bit_that_the_user_set_stays(lab: Lab) -> None:
    async with lab.session(two_turns(lab)) as session:
        await turn(session, UserInput("one"))
        await turn(session, UserInput("two"))
        (lab.workspace / "f").chmod(0o755)
        assert await listed(session, Undo()) == ({"d/g": "removed"}, {"f": "changed"})
        await turn(session, Undo())
        assert (lab.workspace / "f").read_text() == "two\n"


async def test_redo_keeps_what_the_user_changed_after_the_undo(lab: Lab) -> None:
    async with lab.session(two_turns(lab)) as session:
        await turn(session, UserInput("one"))
        await turn(session, UserInput("two"))
        await turn(session, Undo())
        (lab.workspace / "f").write_text("by hand")
        (lab.workspace / "mine").write_text("by hand")
        assert "changed by you, kept: f, mine" in await notes(session, Redo())
        assert (lab.workspace / "f").read_text() == "by hand"
        assert (lab.workspace / "d/g").read_text() == "two\n"
        await turn(session, Undo())
        assert set(picture(lab.workspace)) == {b"f", b"mine"}
        await turn(session, Redo(all_files=True))
        assert (lab.workspace / "f").read_text() == "by hand"


async def test_redo_of_all_files_restores_the_state_before_the_undo(lab: Lab) -> None:
    async with lab.session(two_turns(lab)) as session:
        await turn(session, UserInput("one"))
        before = picture(lab.workspace)
        await turn(session, Undo())
        (lab.workspace / "mine").write_text("by hand")
        await turn(session, Redo(all_files=True))
        assert picture(lab.workspace) == before


async def test_an_undo_after_one_of_the_files_alone_restores_them(lab: Lab) -> None:
    async with lab.session(two_turns(lab)) as session:
        await turn(session, UserInput("one"))
        await turn(session, UserInput("two"))
        (lab.workspace / "mine").write_text("by hand")
        after = picture(lab.workspace)
        await turn(session, Undo(turns=2, files="files"))
        assert set(picture(lab.workspace)) == {b"mine"}
        assert await listed(session, Undo()) == ({"f": "created"}, {"mine": "removed"})
        await turn(session, Redo())
        assert picture(lab.workspace) == after
        assert await listed(session, Undo()) == ({"f": "changed", "d/g": "removed"}, {"mine": "removed"})


async def test_what_the_user_changes_while_an_approval_is_pending_stays(lab: Lab) -> None:
    model = two_turns(lab)
    async with lab.session(model, approval_mode="ask") as session:
        await turn(session, UserInput("one"))
        thread = session.thread_id
    (lab.workspace / "mine").write_text("by hand")
    async with lab.session(model, thread=thread, approval_mode="ask") as session:
        [asked] = data(await until(session, "approval_required"), "approval_required")
        (lab.workspace / "second").write_text("by hand")
        await turn(session, ExecApproval({asked["requests"][0]["id"]: {"type": "approve"}}))
        assert (lab.workspace / "f").exists()
        await turn(session, Undo())
    assert set(picture(lab.workspace)) == {b"mine", b"second"}


async def test_a_command_of_the_user_is_part_of_the_turn_and_other_changes_are_not(lab: Lab) -> None:
    async with lab.session(two_turns(lab)) as session:
        await turn(session, UserInput("one"))
        (lab.workspace / "mine").write_text("by hand")
        await turn(session, RunCommand("echo by command > h"), "tool_output")
        await turn(session, SetEffort(None), "ready")
        assert await listed(session, Undo()) == ({"f": "removed", "h": "removed"}, {"mine": "removed"})


async def test_another_thread_in_the_folder_is_not_undone(lab: Lab) -> None:
    other = lab.script({"tool_calls": [bash("echo other > o")]}, {"text": "A"})
    async with lab.session(two_turns(lab)) as session, lab.session(other) as second:
        await turn(session, UserInput("one"))
        await turn(second, UserInput("go"))
        assert await listed(session, Undo()) == ({"f": "removed"}, {"o": "removed"})
        await turn(session, Undo())
        assert (lab.workspace / "o").exists()
        await turn(second, Undo())
        assert picture(lab.workspace) == {}


async def test_a_turn_whose_end_was_not_recorded_is_undone_whole_and_says_so(lab: Lab) -> None:
    async with lab.session(two_turns(lab)) as session:
        await turn(session, UserInput("one"))
        for path in lab.home.glob("snapshots/*/records/*.1.json"):
            path.unlink()  # as a killed process and older versions leave it
        (lab.workspace / "mine").write_text("by hand")
        found = await session.preview_undo(Undo())
        assert {change.path for change in found.changes} == {"f", "mine"}
        assert "the end of a turn was not recorded" in found.notes[0]


async def test_a_thread_of_an_older_version_records_its_end_when_it_is_opened(lab: Lab) -> None:
    async with lab.session(two_turns(lab)) as session:
        await turn(session, UserInput("one"))
        thread = session.thread_id
    for path in lab.home.glob("snapshots/*/records/*.1.json"):
        path.unlink()
    async with lab.session(lab.script(), thread=thread) as session:
        await until(session, "resumed")
        await turn(session, SetEffort(None), "ready")
        (lab.workspace / "mine").write_text("by hand")
        assert await listed(session, Undo()) == ({"f": "removed"}, {"mine": "removed"})


@pytest.mark.parametrize("ignored", ["f", "d/"])
async def test_files_that_the_turn_ignored_are_restored(lab: Lab, ignored: str) -> None:
    (lab.workspace / "d").mkdir()
    for name in ("f", "d/g"):
        (lab.workspace / name).write_text("before")
    before = picture(lab.workspace)
    command = f"echo {ignored} > .gitignore; echo after > f; echo after > d/g"
    async with lab.session(lab.script({"tool_calls": [bash(command)]}, {"text": "A"})) as session:
        await turn(session, UserInput("go"))
        await turn(session, Undo())
        assert picture(lab.workspace) == before


async def test_a_fork_does_not_record_the_end_of_the_others_turn(lab: Lab, tmp_path: Path) -> None:
    async with lab.session(two_turns(lab)) as session:
        await turn(session, UserInput("one"))
        thread = session.thread_id
    records = sorted(lab.home.glob("snapshots/*/records/*.json"))
    async with lab.session(lab.script(), thread=thread, fork=True) as session:
        await until(session, "resumed")
        await turn(session, RunCommand("echo x > h"), "tool_output")
        await turn(session, SetEffort(None), "ready")
    assert sorted(lab.home.glob("snapshots/*/records/*.json")) == records
