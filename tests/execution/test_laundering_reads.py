"""A command that reads a file with outside text is found by its words, whatever the program; its twin is not."""

from pathlib import Path

import pytest

from ml_intern.execution.file_sources import sources_of_files
from ml_intern.execution.opened_files import opened_paths
from ml_intern.safety.files.disk import matching_files
from ml_intern.safety.shell.analysis import analyze_command
from ml_intern.safety.shell.paths import CommandContext
from ml_intern.store.store import Store
from ml_intern.text.digests import file_digest
from tests.execution.laundering_cases import READS

SOURCE = ("https://pages.example/guide",)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "ws"
    (place / "docs").mkdir(parents=True)
    for name in ("notes.md", "mine.md", "train.py", "docs/a.md"):
        (place / name).write_text("x\n")
    return place


async def test_every_way_of_reading_it_is_seen(folder: Path, tmp_path: Path) -> None:
    notes = folder / "notes.md"
    place = CommandContext(str(folder), home=str(tmp_path), cwd=str(folder), match=matching_files)
    missed: list[str] = []
    async with await Store.open(tmp_path / "home") as store:
        await store.tainted_files.add({str(notes): file_digest(notes)}, SOURCE)
        for pair in READS:
            for command, expected in zip(pair, (SOURCE, ()), strict=True):
                opened = opened_paths(analyze_command(command, place).parsed, folder)
                if await sources_of_files(store, opened) != expected:
                    missed.append(command)
    assert missed == []
