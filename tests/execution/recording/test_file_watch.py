"""Files that processes open and write are seen from outside, whoever opens them."""

import subprocess
import sys
from pathlib import Path

from ml_intern.execution.recording.file_watch import MAX_FOLDERS, FilesUsed, FileWatch


def used(folder: Path, code: str) -> FilesUsed:
    """Return what a Python process did to the files below a folder."""
    watch = FileWatch([folder])
    subprocess.run([sys.executable, "-I", "-S", "-c", code], cwd=folder, check=True)
    return watch.close()


def test_opened_and_written_files_are_named_also_in_new_folders(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train.csv").write_text("x\n")
    (tmp_path / "unread.csv").write_text("x\n")
    code = (
        "import os; open('data/train.csv').read(); open('a.txt', 'w').write('1'); os.mkdir('out'); "
        "open('out/b.txt', 'w').write('2'); open('c.tmp', 'w').close(); os.rename('c.tmp', 'c.txt')"
    )
    found = used(tmp_path, code)
    assert str(tmp_path / "data/train.csv") in found.opened
    assert str(tmp_path / "unread.csv") not in (*found.opened, *found.written)
    assert {str(tmp_path / name) for name in ("a.txt", "out/b.txt", "c.txt")} <= set(found.written)
    assert found.missed == ""


def test_more_folders_than_are_watched_are_said_to_be_missing(tmp_path: Path) -> None:
    for number in range(MAX_FOLDERS + 1):
        (tmp_path / f"{number}").mkdir()
    assert used(tmp_path, "pass").missed == f"more than {MAX_FOLDERS} folders"
