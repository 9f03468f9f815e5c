"""The frame: finished rows reach the scrollback once, and the live part stays in its place."""

import random
import subprocess
import time
from pathlib import Path

import pytest

from ml_intern.terminal.display.frame import CLOSE, LATE_S, MARK, UNMARK, CursorPlace, Size, resizing_in
from tests.terminal.display.pyte_screen import Drawn

SIZES = [(80, 24), (100, 30), (50, 15), (40, 15)]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_finished_row_is_in_the_scrollback_once_and_in_order(width: int, height: int) -> None:
    drawn, chance, number = Drawn(width, height), random.Random(width), 0
    for _ in range(200):
        fresh = [f"row {number + count}" for count in range(chance.randrange(4))]
        number += len(fresh)
        live = [f"live {count}" for count in range(chance.randrange(1, height // 2))]
        drawn.frame.draw(live, CursorPlace(len(live) - 1, 2), fresh)
    rows = [row for row in drawn.everything() if row.startswith("row ")]
    assert rows == [f"row {count}" for count in range(number)]
    assert [row for row in drawn.everything() if row.startswith("live")] == live
    assert drawn.view()[-len(live) :] == live


def test_only_rows_that_changed_are_written() -> None:
    drawn = Drawn(80, 24)
    drawn.frame.draw(["one", "two", "three"], CursorPlace(2, 5))
    drawn.frame.draw(["one", "2", "three"], CursorPlace(2, 5))
    assert "one" not in drawn.writes[-1]
    assert "2" in drawn.writes[-1]
    count = len(drawn.writes)
    drawn.frame.draw(["one", "2", "three"], CursorPlace(2, 5))
    assert len(drawn.writes) == count
    assert (drawn.screen.cursor.x, drawn.view()[drawn.screen.cursor.y]) == (5, "three")


def test_the_live_part_shrinks_and_grows_in_place() -> None:
    drawn = Drawn(40, 10)
    drawn.frame.draw(["> "], CursorPlace(0, 2), ["done"])
    for count in (4, 1, 3, 2):
        drawn.frame.draw([*(f"live {number}" for number in range(count)), "> "], CursorPlace(count, 2))
        assert drawn.view() == ["done", *(f"live {number}" for number in range(count)), ">"]


def test_a_finished_row_as_wide_as_the_terminal_adds_no_empty_row() -> None:
    drawn = Drawn(10, 8)
    drawn.frame.draw(["> "], CursorPlace(0, 2), ["x" * 10, "y" * 25, "end"])
    assert drawn.view() == ["x" * 10, "y" * 10, "y" * 10, "y" * 5, "end", ">"]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_live_rows_are_cut_to_the_width_and_never_wrap(width: int, height: int) -> None:
    drawn = Drawn(width, height)
    drawn.frame.draw(["w" * 300, "日本" * 100, "> "], CursorPlace(2, 2), ["before"])
    assert drawn.view()[0] == "before"
    assert len(drawn.view()) == 4


def test_the_screen_is_never_cleared_and_the_scrollback_never_touched() -> None:
    drawn = Drawn(80, 24)
    for number in range(60):
        drawn.frame.draw([f"live {number}", "> "], CursorPlace(1, 2), [f"row {number}"] * (number % 2))
    drawn.frame.repaint(["> "], CursorPlace(0, 2))
    drawn.frame.erase()
    written = "".join(drawn.writes)
    assert "\x1b[2J" not in written
    assert "\x1b[3J" not in written


def test_a_frame_drawn_before_a_lower_window_is_reported_erases_no_finished_row() -> None:
    drawn = Drawn(80, 24)
    finished = [f"row {number}" for number in range(30)]
    drawn.frame.draw(["reply", "> ", "status 1"], CursorPlace(1, 2), finished)
    drawn.screen.resize(15, 80)
    drawn.frame.draw(["reply", "> ", "status 2"], CursorPlace(1, 2))
    drawn.reported = Size(80, 15)
    drawn.frame.erase()
    drawn.frame.draw(["reply", "> ", "status 3"], CursorPlace(1, 2), ["row 30"])
    assert drawn.everything() == [*finished, "row 30", "reply", ">", "status 3"]


def test_a_repaint_shows_the_last_rows_and_the_live_part() -> None:
    drawn = Drawn(40, 10)
    drawn.frame.draw(["> x"], CursorPlace(0, 3), [f"row {number}" for number in range(30)])
    drawn.write("\x1b[Hrubbish of another program")
    drawn.frame.repaint(["> x"], CursorPlace(0, 3))
    assert drawn.view() == [*(f"row {number}" for number in range(21, 30)), "> x"]


def test_a_terminal_that_removes_a_marked_prompt_keeps_every_finished_row_once() -> None:
    drawn = Drawn(80, 24, "blanks")
    live = [f"live {number} {'x' * 60}" for number in range(6)]
    finished = [f"row {number}" for number in range(40)]
    drawn.frame.draw([*live, "> ", "status"], CursorPlace(6, 2), finished)
    for width, drawn_late in ((60, False), (45, True), (80, False), (50, True)):
        drawn.resize_as_kitty(width, 24)
        if drawn_late:  # a frame for the size before, written when the terminal had the new one already
            finished += [f"late at {width}"]
            drawn.frame.draw([*live, "> ", "status"], CursorPlace(6, 2), finished[-1:])
        drawn.reported = Size(width, 24)
        drawn.frame.erase()
        finished += [f"at {width}"]
        drawn.frame.draw([*live, "> ", "status"], CursorPlace(6, 2), finished[-1:])
        rows = drawn.everything()
        assert [row for row in rows if row.startswith(("row", "late", "at"))] == finished
        assert [row[:6] for row in rows[-8:]] == [*(f"live {number}" for number in range(6)), ">", "status"]
        assert sum(row.startswith(("live", ">", "status")) for row in rows) == 8


@pytest.mark.parametrize(
    ("environ", "resizing"),
    [
        ({"TERM": "xterm-256color"}, "wraps"),
        ({"TERM": "xterm-256color", "XTERM_VERSION": "XTerm(379)"}, "cuts"),
        ({"TERM": "xterm-kitty"}, "blanks"),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux-0/default,1,0"}, "wraps"),
    ],
)
def test_what_a_terminal_does_with_the_live_part_in_a_narrower_window(environ: dict[str, str], resizing: str) -> None:
    assert resizing_in(environ) == resizing


def test_no_row_stays_marked_when_the_live_part_is_gone() -> None:
    drawn = Drawn(80, 24, "blanks")
    drawn.frame.draw(["> "], CursorPlace(0, 2), ["row"])
    drawn.frame.draw([], CursorPlace(0, 0), ["end"])
    assert UNMARK in drawn.writes[-1]
    assert MARK not in drawn.writes[-1]
    assert drawn.view() == ["row", "end"]


def test_the_mark_that_a_killed_session_left_is_closed_with_the_first_finished_row() -> None:
    drawn = Drawn(80, 24, "blanks")
    drawn.frame.draw(["> "], CursorPlace(0, 2))
    assert CLOSE not in drawn.writes[-1]
    drawn.frame.draw(["> "], CursorPlace(0, 2), ["row 1"])
    before, _, after = drawn.writes[-1].partition(CLOSE)
    assert "row 1" not in before
    assert after.index("row 1") < after.index(MARK)
    drawn.frame.draw(["> "], CursorPlace(0, 2), ["row 2"])
    assert CLOSE not in drawn.writes[-1]
    assert drawn.view() == ["row 1", "row 2", ">"]


class Tmux:
    """A tmux server of its own with one window, which wraps its rows anew when its width changes."""

    def __init__(self, folder: Path, width: int, height: int) -> None:
        self._socket = str(folder / "tmux")
        self._fifo = folder / "written"
        subprocess.run(["mkfifo", self._fifo], check=True)
        shell = f"stty raw -echo; exec cat {self._fifo}"
        self._run("-f", "/dev/null", "new-session", "-d", "-x", str(width), "-y", str(height), shell)
        self._run("set", "-g", "window-size", "manual")
        self._out = self._fifo.open("w")

    def _run(self, *words: str) -> str:
        command = ["tmux", "-S", self._socket, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()

    def resize(self, width: int, height: int) -> None:
        self._run("resize-window", "-x", str(width), "-y", str(height))

    def rows(self, last: str) -> list[str]:
        """The scrollback and the screen, as soon as `last` is on it."""
        deadline = time.monotonic() + 20
        while last not in (text := self._run("capture-pane", "-p", "-S", "-")):
            assert time.monotonic() < deadline, text
            time.sleep(0.02)
        return [row for row in text.split("\n") if row]

    def close(self) -> None:
        self._run("kill-server")
        self._out.close()


def test_a_narrower_window_that_wraps_rows_anew_shows_nothing_twice(tmp_path: Path) -> None:
    from ml_intern.terminal.display.frame import Frame, Size

    tmux, size = Tmux(tmp_path, 80, 24), Size(80, 24)
    try:
        now = 0.0
        frame = Frame(tmux.write, lambda: size, clock=lambda: now)
        live = [f"live {number} {'x' * 60}" for number in range(8)]
        frame.draw([*live, "> first"], CursorPlace(8, 7), [f"row {number}" for number in range(40)])
        tmux.rows("> first")
        for width in (40, 60, 30, 80):
            size, now = Size(width, 24), now + LATE_S
            tmux.resize(*size)
            frame.erase()
            frame.draw([*live, f"> at {width}"], CursorPlace(8, 7), [f"at {width}"])
            rows = tmux.rows(f"> at {width}")
        assert [row for row in rows if row.startswith("row")] == [f"row {number}" for number in range(40)]
        assert [row.split()[1] for row in rows if row.startswith("live")] == [str(number) for number in range(8)]
        assert [row for row in rows if row.startswith("at")] == ["at 40", "at 60", "at 30", "at 80"]
    finally:
        tmux.close()


@pytest.mark.parametrize("added", [0, 2])
def test_a_frame_that_comes_when_the_window_is_narrower_already_costs_no_finished_row(
    tmp_path: Path, added: int
) -> None:
    from ml_intern.terminal.display.frame import Frame, Size

    tmux, size = Tmux(tmp_path, 80, 24), Size(80, 24)
    try:
        now = 0.0
        frame = Frame(tmux.write, lambda: size, clock=lambda: now)
        live = [f"live {number} {'x' * 60}" for number in range(6)]
        finished = [f"row {number}" for number in range(40)]
        frame.draw([*live, "> first"], CursorPlace(6, 7), finished)
        tmux.rows("> first")
        tmux.resize(40, 24)
        now += LATE_S
        late = [f"row {number}" for number in range(40, 42)]
        frame.draw([*live, *["x" * 70] * added, "> late"], CursorPlace(6 + added, 6), late)
        tmux.rows("> late")
        size = Size(40, 24)
        frame.erase()
        frame.draw([*live, "> end"], CursorPlace(6, 5), ["row 42"])
        rows = tmux.rows("> end")
        assert [row for row in rows if row.startswith("row")] == [*finished, *late, "row 42"]
        assert len([row for row in rows if not row.startswith("row")]) <= 2 * len(live) + 1
        tmux.resize(200, 24)
        assert [row for row in tmux.rows("> end") if "row" in row] == [*finished, *late, "row 42"]
    finally:
        tmux.close()


def test_a_window_that_is_wider_again_before_the_size_rests_loses_nothing_and_shows_nothing_twice(
    tmp_path: Path,
) -> None:
    from ml_intern.terminal.display.frame import Frame, Size

    tmux, size, now = Tmux(tmp_path, 80, 24), Size(80, 24), 0.0
    try:
        frame = Frame(tmux.write, lambda: size, clock=lambda: now)
        live = [f"live {number} {'x' * 60}" for number in range(6)]
        finished = [f"row {number}" for number in range(40)]
        frame.draw([*live, "> first"], CursorPlace(6, 7), finished)
        tmux.rows("> first")
        now += LATE_S
        for size in (Size(40, 24), Size(70, 24)):
            tmux.resize(*size)
            frame.hold()
        frame.erase()
        frame.draw([*live, "> end"], CursorPlace(6, 5), ["row 40"])
        assert tmux.rows("> end") == [*finished, "row 40", *live, "> end"]
    finally:
        tmux.close()
