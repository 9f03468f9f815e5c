"""`threads rename`, `fork`, `undo`, `redo`, `delete`: without a model, without a key, on threads nobody holds."""

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml_intern.store.store import Store
from tests.commands.conftest import Done, call
from tests.terminal.driver import Terminal

Run = Callable[..., Done]
Script = Callable[..., str]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def thread(run: Run, script: Script) -> str:
    """A thread of two turns, each of which writes a file."""
    steps = [
        {"tool_calls": [call("write", path=f"file{number}", content=f"{number}\n")]} if number % 2 else {"text": "ok"}
        for number in range(1, 5)
    ]
    model = script(*steps, {"text": "more"}, {"text": "still more"})
    first = run("--output-format", "json", "-m", model, "write one")
    assert run("-q", "-c", "-m", model, "write three").code == 0
    identifier: str = first.json["thread_id"]
    return identifier


def texts(run: Run, thread: str) -> list[str]:
    shown = run("threads", "show", thread, "--json").json
    return [message["text"] for message in shown["messages"] if message["role"] == "human"]


def holding(home: Path, thread: str, work: Callable[[], Done]) -> Done:
    """What a command does while another process has the thread."""

    async def held() -> Done:
        async with await Store.open(home) as store, store.hold(thread):
            return await asyncio.to_thread(work)

    return asyncio.run(held())


def test_undo_takes_back_conversation_and_files_and_redo_brings_them_again(run: Run, thread: str, place: Path) -> None:
    done = run("threads", "undo", thread[:8])
    assert done.code == 0
    assert done.out.startswith("undid 1 turn: write three\n")
    assert "removed file3" in done.out
    assert texts(run, thread) == ["write one"]
    assert sorted(path.name for path in place.iterdir()) == ["file1"]
    assert run("threads", "redo", thread).out.startswith("restored 1 turn: write three\n")
    assert texts(run, thread) == ["write one", "write three"]
    assert (place / "file3").read_text() == "3\n"


def test_undo_can_leave_the_files_or_take_only_them(run: Run, thread: str, place: Path) -> None:
    assert run("threads", "undo", thread, "--files", "conversation", "--json").json["turns"] == 1
    assert (place / "file3").exists()
    assert texts(run, thread) == ["write one"]
    run("threads", "redo", thread)
    undone = run("threads", "undo", thread, "2", "--files", "files", "--json").json
    assert (undone["direction"], undone["turns"]) == ("undo", 0)
    assert not (place / "file1").exists()
    assert texts(run, thread)[:2] == ["write one", "write three"]


def test_a_preview_tells_every_file_and_changes_nothing(run: Run, thread: str, place: Path) -> None:
    seen = run("threads", "undo", thread, "2", "--preview", "--json").json
    assert (seen["turns"], seen["text"]) == (2, "write one")
    assert [(change["path"], change["kind"]) for change in seen["changes"]] == [
        ("file1", "removed"),
        ("file3", "removed"),
    ]
    assert "removed  file1  +0 -1\n" in run("threads", "undo", thread, "2", "--preview").out
    assert sorted(path.name for path in place.iterdir()) == ["file1", "file3"]
    assert texts(run, thread) == ["write one", "write three"]


def test_files_made_by_hand_stay_and_all_files_includes_them(run: Run, thread: str, place: Path) -> None:
    (place / "mine").write_text("by hand\n")
    seen = run("threads", "undo", thread, "--preview")
    assert "removed  file3  +0 -1\n" in seen.out
    assert "kept     mine  (changed by you; --all-files includes it)\n" in seen.out
    assert "changed by you, kept: mine" in run("threads", "undo", thread).out
    assert sorted(path.name for path in place.iterdir()) == ["file1", "mine"]
    run("threads", "redo", thread)
    assert sorted(path.name for path in place.iterdir()) == ["file1", "file3", "mine"]
    assert "removed  mine" in run("threads", "undo", thread, "--preview", "--all-files").out
    run("threads", "undo", thread, "--all-files")
    assert sorted(path.name for path in place.iterdir()) == ["file1"]
    run("threads", "redo", thread)
    assert sorted(path.name for path in place.iterdir()) == ["file1", "file3", "mine"]


def test_an_undo_shows_in_the_list_and_the_thread_goes_on_from_there(run: Run, thread: str, script: Script) -> None:
    undone = run("threads", "undo", thread, "--json").json
    assert (undone["thread"]["id"], undone["thread"]["turns"], undone["text"]) == (thread, 1, "write three")
    again = script({}, {}, {"text": "another way"})
    assert run("-q", "-r", thread, "-m", again, "try again").out == "another way\n"
    assert texts(run, thread) == ["write one", "try again"]
    assert run("threads", "redo", thread).code == 2


@pytest.mark.parametrize(
    ("words", "said"), [(["redo"], "nothing to redo"), (["undo", "0"], "[N]"), (["undo", "x"], "[N]")]
)
def test_what_cannot_be_moved_is_one_line(run: Run, thread: str, words: list[str], said: str) -> None:
    done = run("threads", words[0], thread, *words[1:])
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert said in done.err


def test_undo_with_nothing_left_is_one_line(run: Run, thread: str) -> None:
    assert run("threads", "undo", thread, "99").out.startswith("undid 2 turns: write one\n")
    done = run("threads", "undo", thread)
    assert (done.code, done.out) == (2, "")
    assert "nothing to undo" in done.err


def test_undo_says_what_stays_and_needs_no_folder(run: Run, script: Script, place: Path) -> None:
    model = script({"tool_calls": [call("bash", command="git init -q . ; git push nowhere")]}, {"text": "pushed"})
    thread = run("--output-format", "json", "--yolo", "-m", model, "push it").json["thread_id"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir("/")
        shutil.rmtree(place)
        undone = run("threads", "undo", thread, "--json").json
        place.mkdir()
    assert undone["turns"] == 1
    assert any("pushes" in note for note in undone["notes"])
    assert any("the files stay as they are" in note for note in undone["notes"])


def test_fork_copies_up_to_a_turn_and_leaves_the_source_alone(run: Run, thread: str) -> None:
    copy = run("threads", "fork", thread, "--at", "1", "--json").json
    assert (copy["parent"], copy["forked_at"], copy["turns"]) == (thread, 1, 1)
    assert texts(run, copy["id"]) == ["write one"]
    assert texts(run, thread) == ["write one", "write three"]
    whole = run("threads", "fork", thread)
    assert texts(run, whole.out.splitlines()[0]) == ["write one", "write three"]
    done = run("threads", "fork", thread, "--at", "7")
    assert (done.code, done.out) == (2, "")
    assert "there is no turn 7" in done.err


def test_show_lists_the_turns_to_fork_at(run: Run, thread: str) -> None:
    assert run("threads", "show", thread).out.endswith("[turns]\n  1  write one\n  2  write three\n")
    turns = run("threads", "show", thread, "--json").json["turns"]
    assert [(turn["number"], turn["text"]) for turn in turns] == [(1, "write one"), (2, "write three")]


def test_rename_gives_a_title_to_find_it_by(run: Run, thread: str) -> None:
    assert (
        run("threads", "rename", thread[:8], "  the\nfirst  one ").out == f"renamed {thread[:8]} to 'the first one'\n"
    )
    assert run("threads", "rename", "the first one", "two", "--json").json["title"] == "two"
    assert run("threads", "rename", thread, " ").code == 2


@pytest.mark.parametrize("words", [["undo"], ["redo"], ["rename", "x"], ["delete", "--yes"]])
def test_a_thread_somebody_holds_is_exit_75_and_stays_as_it_is(
    run: Run, thread: str, home: Path, words: list[str]
) -> None:
    done = holding(home, thread, lambda: run("threads", words[0], thread, *words[1:]))
    assert (done.code, done.out) == (75, "")
    assert thread in done.err
    assert texts(run, thread) == ["write one", "write three"]


def test_a_thread_somebody_holds_can_be_forked(run: Run, thread: str, home: Path) -> None:
    copy = holding(home, thread, lambda: run("threads", "fork", thread, "--json"))
    assert texts(run, copy.json["id"]) == ["write one", "write three"]


@pytest.mark.parametrize("action", ["rename", "fork", "undo", "redo", "export", "replay", "delete", "show"])
def test_an_unknown_thread_is_one_line(run: Run, thread: str, action: str) -> None:
    done = run("threads", action, "no such thread", *(["x"] if action == "rename" else []))
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert "there is no thread 'no such thread'" in done.err


def test_delete_needs_a_yes_that_nobody_can_give_headless(run: Run, thread: str) -> None:
    done = run("threads", "delete", thread)
    assert (done.code, done.out) == (2, "")
    assert done.err.endswith("(add --yes to skip it)\n")
    assert texts(run, thread)


def test_delete_removes_thread_files_and_snapshots_and_keeps_what_was_spent(run: Run, thread: str, home: Path) -> None:
    kept = run("threads", "fork", thread, "--json").json["id"]
    assert list((home / "snapshots").glob("*/records/*.json"))
    assert run("threads", "delete", thread, "--yes", "--json").json == {"deleted": [thread]}
    assert [row["id"] for row in run("threads", "list", "--json").json] == [kept]
    assert not list((home / "snapshots").glob("*/records/*.json"))
    assert not list((home / "snapshots").glob("*/objects/??"))
    assert texts(run, kept) == ["write one", "write three"]
    assert asyncio.run(spent(home, thread)) == 4


async def spent(home: Path, thread: str) -> int:
    async with await Store.open(home) as store:
        return (await store.ledger.total(thread)).requests


def test_delete_asks_on_a_terminal_and_anything_but_yes_is_no(run: Run, thread: str, home: Path, place: Path) -> None:
    for answer, left in (("n", 1), ("y", 0)):
        terminal = Terminal(["threads", "delete", thread], place, home)
        try:
            terminal.expect("permanently? [y/N]")
            terminal.enter(answer)
            terminal.expect("nothing was deleted" if left else f"deleted {thread}")
            assert terminal.ended() == 0
        finally:
            terminal.close()
        assert len(run("threads", "list", "--json").json) == left


def test_every_json_is_one_value_with_the_keys_it_always_has(run: Run, thread: str) -> None:
    row: set[str] = {"id", "title", "folder", "parent", "forked_at", "created", "updated", "state", "turns", "cost_usd"}
    row |= {"unpriced_requests"}
    moved = {"thread", "direction", "turns", "text", "notes"}
    previewed = {"thread", "turns", "text", "changes", "kept", "notes"}
    found: list[tuple[Any, set[str]]] = [
        (run("threads", "rename", thread, "x", "--json"), row),
        (run("threads", "fork", thread, "--json"), row),
        (run("threads", "undo", thread, "--json"), moved),
        (run("threads", "redo", thread, "--json"), moved),
        (run("threads", "undo", thread, "--preview", "--json"), previewed),
        (run("threads", "delete", thread, "--yes", "--json"), {"deleted"}),
    ]
    for done, keys in found:
        assert set(json.loads(done.out)) == keys
        assert done.err == ""
