"""`threads prune`: says what would go, then does it; what can be reached stays."""

import asyncio
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_intern.commands.threads.prune import bytes_of
from ml_intern.configs.errors import UsageError
from ml_intern.snapshots import scan
from ml_intern.snapshots.workspace import Snapshots
from ml_intern.store.store import DATABASE_NAME, Store
from tests.commands.conftest import Done, call

Run = Callable[..., Done]
Script = Callable[..., str]
DAY = 86_400


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def start(run: Run, script: Script, home: Path) -> Callable[..., str]:
    """Start a thread that prints much and was used so many days ago; its id."""

    def start(days: float = 0, calls: int = 1) -> str:
        steps = [{"tool_calls": [call("bash", command=f"seq {n}0000 {n}5000; echo x > file")]} for n in range(calls)]
        done = run("--output-format", "json", "-m", script(*steps, {"text": "ok"}, {"text": "then"}), f"{days} days")
        identifier: str = done.json["thread_id"]
        with sqlite3.connect(home / DATABASE_NAME) as connection:
            connection.execute("UPDATE threads SET updated = updated - ? WHERE id = ?", (days * DAY, identifier))
        return identifier

    return start


def ids(run: Run) -> set[str]:
    return {row["id"] for row in run("threads", "list", "--json").json}


def test_without_yes_it_only_says_what_would_go(run: Run, start: Callable[..., str], home: Path) -> None:
    old, new = start(days=40), start()
    before = (home / DATABASE_NAME).stat().st_size
    done = run("threads", "prune", "--older-than", "30d")
    head, row, files, last = done.out.splitlines()
    assert head.split() == ["ID", "ACTION", "SIZE", "USED", "TITLE"]
    assert row.split()[:2] == [old[:8], "delete"]
    assert files == "2 file snapshots of deleted threads"
    assert last.startswith("would free about ")
    assert last.endswith("; add --yes to do it")
    assert ids(run) == {old, new}
    assert (home / DATABASE_NAME).stat().st_size == before


def test_old_threads_go_with_their_files_and_the_database_shrinks(
    run: Run, start: Callable[..., str], home: Path
) -> None:
    old, new = start(days=40, calls=5), start()
    assert list((home / "artifacts" / old).iterdir())
    before = (home / DATABASE_NAME).stat().st_size
    done = run("threads", "prune", "--older-than", "30d", "--yes", "--json").json
    assert [(step["id"], step["what"]) for step in done["steps"]] == [(old, "delete")]
    assert done["done"] is True
    assert done["snapshots"] == 2  # at the start and at the end of the turn
    assert done["freed"] > 0
    assert ids(run) == {new}
    assert not (home / "artifacts" / old).exists()
    assert (home / DATABASE_NAME).stat().st_size < before
    assert len(list((home / "snapshots").glob("*/records/*.json"))) == 2
    undone = run("threads", "undo", new, "--json").json
    assert undone["notes"] == ["the files are as they were at the start of turn 1"]


def test_the_newest_are_kept_however_old(run: Run, start: Callable[..., str]) -> None:
    oldest, old = start(days=50), start(days=40)
    assert run("threads", "prune", "--older-than", "1d", "--keep", "2").out == "nothing to prune\n"
    run("threads", "prune", "--older-than", "1d", "--keep", "1", "--yes")
    assert ids(run) == {old}
    assert oldest not in ids(run)


def test_a_long_thread_is_thinned_and_undone_and_redone_as_before(
    run: Run, start: Callable[..., str], script: Script
) -> None:
    thread = start(calls=6)
    model = script(*[{"text": "before"}] * 7, {"text": "a"}, {"text": "b"})
    for _ in range(3):
        assert run("-q", "-r", thread, "-m", model, "again").code == 0
        assert run("threads", "undo", thread).code == 0
    (step,) = run("threads", "prune", "--larger-than", "1k", "--json").json["steps"]
    assert (step["id"], step["what"]) == (thread, "thin out")
    shown = run("threads", "show", thread, "--json").json["messages"]
    done = run("threads", "prune", "--larger-than", "1k", "--yes", "--json").json
    assert done["steps"] == [step]
    assert run("threads", "show", thread, "--json").json["messages"] == shown
    assert run("threads", "prune", "--larger-than", "1k").out == "nothing to prune\n"
    assert run("threads", "redo", thread).code == 0
    assert run("threads", "undo", thread, "9").out.startswith("undid 2 turns")


def test_small_threads_are_left_alone(run: Run, start: Callable[..., str], script: Script) -> None:
    thread = start()
    run("threads", "undo", thread)
    assert run("-q", "-r", thread, "-m", script({"text": "x"}), "again").code == 0
    assert run("threads", "prune").out == "nothing to prune\n"


def test_a_thread_somebody_holds_is_left_alone_and_said(run: Run, start: Callable[..., str], home: Path) -> None:
    held, free = start(days=40), start(days=40)

    async def prune() -> Done:
        async with await Store.open(home) as store, store.hold(held):
            return await asyncio.to_thread(run, "threads", "prune", "--older-than", "1d", "--yes")

    done = asyncio.run(prune())
    assert done.code == 0
    assert f"{held[:8]} skipped: another process is using it" in done.out
    assert ids(run) == {held}
    assert free not in done.err


def test_a_backup_is_made_first(run: Run, start: Callable[..., str], place: Path) -> None:
    thread = start(days=40)
    assert "copied the database to" in run("threads", "prune", "--older-than", "1d", "--backup", "b.db", "--yes").out
    assert stat.S_IMODE((place / "b.db").stat().st_mode) == 0o600
    with sqlite3.connect(place / "b.db") as connection:
        assert connection.execute("SELECT id FROM threads").fetchall() == [(thread,)]
    again = run("threads", "prune", "--backup", "b.db", "--yes")
    assert (again.code, again.out) == (2, "")


@pytest.mark.parametrize("words", [["--older-than", "soon"], ["--larger-than", "big"], ["--keep", "-1"]])
def test_what_is_no_size_age_or_number_is_a_usage_error(run: Run, words: list[str]) -> None:
    done = run("threads", "prune", *words)
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)


def test_sizes_have_units() -> None:
    assert [bytes_of(text) for text in ("12", "500k", "1.5MB", "2 GiB")] == [12, 500_000, 1_500_000, 2 * 1024**3]
    with pytest.raises(UsageError):
        bytes_of("-1")


async def _old_snapshot(home: Path, place: Path, thread: str) -> None:
    """Take a snapshot as older versions took it: with secrets."""
    with pytest.MonkeyPatch.context() as older:
        older.setattr(scan, "is_secret", lambda path: False)
        files = Snapshots(home, place, lambda what, remedy: pytest.fail(what))
        files.begin(thread)
        await files.settled()
        await files.close()


def test_secrets_in_old_snapshots_are_shown_by_doctor_and_removed(
    run: Run, start: Callable[..., str], home: Path, place: Path
) -> None:
    (place / ".env").write_text("TOKEN=of-an-older-version")
    thread = start()
    assert "secrets in snapshots" not in run("doctor").out
    asyncio.run(_old_snapshot(home, place, thread))
    assert f"{place / '.env'}: `ml-intern threads prune --yes` removes them" in run("doctor").out
    said = run("threads", "prune").out
    assert f"files with secrets in snapshots of older versions: {place / '.env'}" in said
    assert "add --yes to do it" in said
    assert run("threads", "prune", "--yes", "--json").json["secrets"] == [str(place / ".env")]
    assert "secrets in snapshots" not in run("doctor").out
    assert run("threads", "prune").out == "nothing to prune\n"
