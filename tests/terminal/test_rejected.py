"""The change that the user did not want stays readable above, whichever way it was refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.terminal.driver import ESCAPE, Terminal

OLD = "".join(f"line {number}\n" for number in range(1, 9))
EDIT = {"tool_calls": [{"name": "edit", "args": {"path": "a.txt", "old": "line 5", "new": "line five"}}]}
READ = {"tool_calls": [{"name": "read", "args": {"path": "a.txt"}}]}
DIFF = ["  3   line 3", "  4   line 4", "  5 - line 5", "  5 + line five", "  6   line 6", "  7   line 7"]


@pytest.mark.parametrize(
    ("keys", "how"),
    [("n\r", "rejected"), ("not this one\r", "rejected: not this one"), (ESCAPE, "not answered")],
)
def test_the_diff_of_a_rejected_edit_stays(start: Callable[..., Terminal], tmp_path: Path, keys: str, how: str) -> None:
    (tmp_path / "work" / "a.txt").write_text(OLD)
    terminal = start(READ, EDIT, {"text": "As you like."})
    terminal.prompt()
    terminal.enter("go")
    terminal.expect("View all of it")
    terminal.type(keys)
    terminal.shows(how)
    terminal.prompt()
    rows = [row.rstrip() for row in terminal.screen.display]
    place = next(number for number, row in enumerate(rows) if "edit a.txt" in row)
    assert how in rows[place], rows[place]
    assert rows[place + 1 : place + 1 + len(DIFF)] == DIFF
    assert (tmp_path / "work" / "a.txt").read_text() == OLD
