"""The list of threads to choose from."""

import io
import time
from typing import Any

import pytest
from rich.console import Console

from ml_intern.store.threads import ThreadRow
from ml_intern.terminal.picker import pick_thread
from ml_intern.terminal.render.summary import age
from ml_intern.terminal.screen import Screen


class Answers:
    """Somebody who types one line."""

    def __init__(self, answer: str | None) -> None:
        self.answer = answer

    async def line(self, question: str, default: str = "") -> str | None:
        return self.answer


def row(id: str, **fields: Any) -> ThreadRow:
    about: dict[str, Any] = {
        "title": "train it", "folder": "/work", "parent": None, "forked_at": None, "created": 0.0,
        "updated": time.time(), "state": "idle", "turns": 1, "cost_usd": 0.0, "unpriced_requests": 0, "redo": (),
    }  # fmt: skip
    return ThreadRow(**{"id": id, **about, **fields})


def two_rows() -> list[ThreadRow]:
    return [
        row("first", state="waiting", turns=12, cost_usd=1.25, updated=time.time() - 3 * 3600, folder="/work/a"),
        row("second", title="\x1b[31mred", state="interrupted", updated=time.time() - 2 * 86_400),
    ]


async def picked(answer: str | None, rows: list[ThreadRow] | None = None) -> tuple[str | None, list[str]]:
    out = io.StringIO()
    screen = Screen(Console(file=out, width=200, markup=False, emoji=False, highlight=False))
    chosen = await pick_thread(
        screen, Answers(answer), two_rows() if rows is None else rows, {"first": 3 * 1024 * 1024}
    )
    return chosen, out.getvalue().splitlines()


async def test_each_line_tells_age_state_turns_cost_size_title_and_folder() -> None:
    _, lines = await picked("")
    assert [" ".join(line.split()) for line in lines] == [
        "1 3 h waiting 12 turns $1.25 3.0 MiB train it /work/a",
        r"2 2 d interrupted 1 turn $0.00 0 B \x1b[31mred /work",
    ]


@pytest.mark.parametrize(
    ("answer", "chosen"), [("2", "second"), ("", None), (None, None), (" ", None), ("abc", "abc"), ("7", "7")]
)
async def test_a_number_chooses_a_row_and_anything_else_is_a_name(answer: str | None, chosen: str | None) -> None:
    assert (await picked(answer))[0] == chosen


async def test_without_threads_nothing_is_asked() -> None:
    chosen, lines = await picked("1", [])
    assert chosen is None
    assert lines == ["no threads yet"]


def test_ages_are_short() -> None:
    assert [age(seconds) for seconds in (5, 90, 7_000, 100_000)] == ["now", "2 min", "2 h", "1 d"]
