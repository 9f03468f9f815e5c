"""What is shown of a call before somebody says yes."""

from pathlib import Path
from typing import Any

import pytest

from ml_intern.terminal.blocks.diff import diff_rows
from ml_intern.terminal.render.preview import preview, preview_text
from ml_intern.terminal.theme import Theme


def lines(name: str, args: dict[str, Any], folder: Path) -> list[str]:
    return diff_rows(preview(name, args, folder), 200, Theme("none"))


def test_a_command_is_shown_whole_with_hidden_characters_visible(tmp_path: Path) -> None:
    args = {"command": "echo a\nrm -rf x\u202e\x1b[8m", "timeout": 9}
    assert lines("bash", args, tmp_path) == ["$ echo a", "  rm -rf x\\u202e\\x1b[8m", "timeout: 9"]


def test_a_carriage_return_hides_nothing(tmp_path: Path) -> None:
    assert lines("bash", {"command": "evil\rgood"}, tmp_path) == ["$ evil\\x0dgood"]


def test_a_new_file_is_shown_as_added(tmp_path: Path) -> None:
    assert lines("write", {"path": "n.txt", "content": "a\nb\n"}, tmp_path) == ["n.txt (new)", "1 + a", "2 + b"]


def test_a_changed_file_is_shown_as_a_diff(tmp_path: Path) -> None:
    (tmp_path / "f.txt").write_text("one\ntwo\nthree\n")
    written = preview("write", {"path": "f.txt", "content": "one\n2\nthree\n"}, tmp_path)
    edited = preview("edit", {"path": "f.txt", "old": "two", "new": "2"}, tmp_path)
    assert written == edited
    assert [(line.text, line.kind, line.number) for line in written] == [
        ("one", "same", 1),
        ("two", "removed", 2),
        ("2", "added", 2),
        ("three", "same", 3),
    ]
    assert preview_text(written) == " one\n-two\n+2\n three"


def test_an_edit_of_text_that_is_not_there_shows_both_texts(tmp_path: Path) -> None:
    (tmp_path / "f.txt").write_text("other")
    assert lines("edit", {"path": "f.txt", "old": "a", "new": "b"}, tmp_path)[-2:] == ["1 - a", "1 + b"]


def test_no_file_outside_the_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "work").mkdir()
    shown = lines("write", {"path": "../secret", "content": "x"}, tmp_path / "work")
    assert shown == ["../secret (new)", "1 + x"]


@pytest.mark.parametrize(
    "args", [{}, {"path": 3}, {"path": "a\0b", "content": "x"}, {"command": 5}, {"path": "x" * 5000}]
)
@pytest.mark.parametrize("name", ["bash", "write", "edit", "other"])
def test_odd_arguments_are_shown_too(name: str, args: dict[str, Any], tmp_path: Path) -> None:
    assert lines(name, args, tmp_path)


def test_a_run_shows_where_on_what_how_long_and_all_of_its_script(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import torch\nprint(1)\n")
    args = {
        "operation": "run", "backend": "hub", "script": "train.py", "args": ["--lr", "1"], "hardware": "t4-small",
        "timeout": "2h", "secrets": ["HF_TOKEN"], "override": ["smoke_run"],
    }  # fmt: skip
    assert lines("jobs", args, tmp_path) == [
        "operation: run", "backend: hub", "hardware: t4-small", "timeout: 2h", 'secrets: ["HF_TOKEN"]',
        'args: ["--lr", "1"]', 'override: ["smoke_run"]', "script train.py:", "import torch", "print(1)",
    ]  # fmt: skip
    assert lines("jobs", {"operation": "run", "command": "make\ntest"}, tmp_path)[1:] == ["$ make", "  test"]
    assert (
        "not a readable file of the workspace"
        in lines("jobs", {"operation": "run", "script": "../none.py"}, tmp_path)[-1]
    )
