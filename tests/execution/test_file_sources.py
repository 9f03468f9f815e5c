"""Which files a call is said to have changed: those since it began, regular, with content, and not too many."""

from dataclasses import replace
from pathlib import Path

import pytest

from ml_intern.execution import file_sources
from ml_intern.execution.call import ToolResult
from ml_intern.execution.file_sources import changed_files, file_clock, record_written, sources_of_files
from ml_intern.execution.run_sources import RunSources, write_run_sources
from ml_intern.store.runs import RunEnding, RunRow
from ml_intern.text.digests import file_digest
from tests.execution.conftest import Bench, until

SOURCE = "https://example.com/page"


def after(path: Path) -> int:
    """Return a time of the clock of file times later than the file's."""
    return path.stat().st_ctime_ns + 1


async def test_a_tool_that_names_the_files_it_wrote_marks_these_only(bench: Bench) -> None:
    began = file_clock()
    written, users = bench.file("written.txt", "from the page"), bench.file("users.txt", "saved meanwhile")
    result = ToolResult("ok", file_reads={str(written): file_digest(written)})
    context = replace(bench.context(), taint=(SOURCE,))
    await record_written(bench.services.tools["write"], result, context, began, reads=False)
    assert await sources_of_files(bench.store, [written]) == (SOURCE,)
    assert await sources_of_files(bench.store, [users]) == ()


async def test_a_command_marks_every_file_that_changed_meanwhile(bench: Bench) -> None:
    began = file_clock()
    path = bench.file("written.txt", "from the page")
    context = replace(bench.context(), taint=(SOURCE,))
    await record_written(bench.services.tools["bash"], ToolResult("ok"), context, began, reads=False)
    assert await sources_of_files(bench.store, [path]) == (SOURCE,)


async def test_nothing_is_marked_without_outside_text(bench: Bench) -> None:
    began = file_clock()
    path = bench.file("written.txt", "mine")
    await record_written(bench.services.tools["bash"], ToolResult("ok"), bench.context(), began, reads=False)
    assert await sources_of_files(bench.store, [path]) == ()


async def test_files_from_before_empty_files_and_links_did_not_change(tmp_path: Path) -> None:
    old = tmp_path / "old.txt"
    old.write_text("old")
    began = after(old)
    await until(lambda: file_clock() > began)
    (tmp_path / "empty.txt").touch()
    (tmp_path / "link.txt").symlink_to(old)
    new = tmp_path / "folder" / "new.txt"
    new.parent.mkdir()
    new.write_text("new")
    assert changed_files([tmp_path], began) == {str(new): file_digest(new)}


def test_files_are_marked_up_to_a_total_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_sources, "MAX_HASHED_BYTES", 10)
    for name, size in (("a", 11), ("b/fits", 10), ("b/c/left", 1)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x" * size)
    assert list(changed_files([tmp_path], 0)) == [str(tmp_path / "b/fits")]


async def test_a_file_that_a_running_run_may_have_written_has_the_sources_of_the_run(bench: Bench) -> None:
    folder = bench.workspace.parent / "run"
    folder.mkdir()
    write_run_sources(folder, RunSources((str(bench.workspace),), launched_with=(SOURCE,)))
    path = bench.file("written.txt", "from the page")
    run = RunRow("r", "t", "python train.py", handle="{}", log=str(folder / "log"), started=path.stat().st_ctime - 1)
    await bench.store.runs.add(run)
    assert await sources_of_files(bench.store, [path]) == (SOURCE,)
    assert await sources_of_files(bench.store, []) == ()
    await bench.store.runs.end("r", RunEnding("succeeded", 0))
    assert await sources_of_files(bench.store, [path]) == ()
