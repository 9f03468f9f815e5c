"""Completion in the prompt."""

from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from ml_intern.terminal.input.complete import PromptCompleter

FILES = ["src/model/trainer.py", "train.py", "tests/test_trainer.py", "README.md"]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "my file.csv").touch()
    (tmp_path / "train.py").touch()
    (tmp_path / ".hidden").touch()
    return tmp_path


def completed(text: str, work: Path) -> list[str]:
    found = PromptCompleter(work, lambda _: FILES).get_completions(Document(text), CompleteEvent())
    return [text[: len(text) + one.start_position] + one.text for one in found]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("/und", ["/undo"]),
        ("/c", ["/clear", "/compact", "/cost", "/context", "/copy"]),
        ("/effort m", ["/effort minimal", "/effort medium", "/effort max"]),
        ("/plan o", ["/plan on", "/plan off"]),
        ("look at @train", ["look at @train.py", "look at @src/model/trainer.py", "look at @tests/test_trainer.py"]),
        ("look at @modtrain", ["look at @src/model/trainer.py"]),
        ("@", ["@data/", "@train.py"]),
        ("@.h", ["@.hidden"]),
        ("@data/", ['@"data/my file.csv"']),
        ("@nowhere/x", []),
        ("hello", []),
        ("/nonsense x", []),
    ],
)
def test_what_stands_before_the_cursor_is_completed(text: str, lines: list[str], work: Path) -> None:
    assert completed(text, work) == lines
