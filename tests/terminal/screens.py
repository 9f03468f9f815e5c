"""Compares rows with readable snapshots, at four widths. UPDATE_SNAPSHOTS=1 writes the snapshots again."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from ml_intern.terminal.blocks.width import cells
from ml_intern.terminal.theme import THEME_NAMES, Theme

WIDTHS = (100, 80, 50, 40)
FOLDER = Path(__file__).with_name("snapshots")
SGR = re.compile(r"\x1b\[[0-9;]*m")
HOSTILE = "a\x1b[2J\x07b 数据集的列与训练器不匹配 👩‍👩‍👧 ❤️ 🇩🇪 👍🏽 שלום \u202eevil\u202c \x9b31m tab\tend"
"""CJK, emoji of every kind, right-to-left text, and sequences that would act on a terminal."""
PROSE = (
    "Accuracy on the held-out part rises from 0.81 to 0.93 once the learning rate is lowered and early stopping is on."
)

Render = Callable[[int, Theme], list[str]]


def compare(name: str, render: Render, widths: tuple[int, ...] = WIDTHS) -> None:
    """Compare the rows with snapshots/NAME.txt, and check what holds for the rows of every block."""
    check_rows(render, widths)
    text = "".join(f"=== {width}\n{_plain(render, width)}" for width in widths)
    file = FOLDER / f"{name}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        file.write_text(text, encoding="utf-8")
    assert text.splitlines() == file.read_text(encoding="utf-8").splitlines()


def _plain(render: Render, width: int) -> str:
    return "".join(f"{row}\n" for row in render(width, Theme("none")))


def check_rows(render: Render, widths: tuple[int, ...] = WIDTHS, *, whole_code: bool = False) -> None:
    """Rows fit, hold colours and no other sequence, end reset, and are the same text in every theme."""
    for width in widths:
        plain = render(width, Theme("none"))
        for row in plain:
            assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200d\ufe0f]", row), repr(row)
            assert whole_code or cells(row) <= width, (width, cells(row), row)
        for name in THEME_NAMES:
            rows = render(width, Theme(name))
            assert [SGR.sub("", row) for row in rows] == plain
            assert all(row.rfind("\x1b[") <= row.rfind("\x1b[0m") for row in rows)


def words_are_whole(text: str, rows: list[str], width: int) -> None:
    """No word that fits into a row is broken."""
    shown = " ".join(rows).split()
    for word in text.split():
        assert cells(word) > width - 8 or word in shown, word
