"""A headless run on a terminal: what is printed for good, and what is shown while it runs."""

import io
import re

import pytest

from ml_intern.graph.events import Event
from ml_intern.terminal.live import LiveRows
from ml_intern.terminal.progress import MODES, ProgressRenderer
from ml_intern.terminal.theme import Theme
from tests.terminal.events import CALL, TURN, event
from tests.terminal.screens import HOSTILE, SGR

SEQUENCE = re.compile(r"\x1b\[\?2026[hl]|\x1b\[(\d+)A|(\x1b\[J)|(\r)|(\n)|([^\x1b\r\n]+)")


class Watched:
    """A renderer, and the screen that a terminal would show. Time passes only where a test says so."""

    def __init__(self, width: int = 80, *, theme: str = "none", verbose: bool = False) -> None:
        self.now, self.width, self.out = 0.0, width, io.StringIO()
        live = LiveRows(self.out, lambda: self.width)
        self.renderer = ProgressRenderer(live, Theme(theme), verbose=verbose, clock=lambda: self.now)  # type: ignore[arg-type]

    def play(self, *events: Event) -> list[str]:
        for one in events:
            self.now += 1.0
            self.renderer.show(one)
        return self.screen()

    def screen(self) -> list[str]:
        rows, row = [""], 0
        for up, erase, start, end, text in SEQUENCE.findall(SGR.sub("", self.out.getvalue())):
            if up:
                row -= int(up)
            elif erase:
                del rows[row + 1 :]
                rows[row] = ""
            elif end:
                row += 1
                rows[row:] = rows[row:] or [""]
            elif text and not start:
                rows[row] += text
        assert row >= 0
        return rows


def test_a_turn_is_printed_and_nothing_else_stays() -> None:
    rows = Watched().play(*TURN, event("shutdown", reason="closed"))
    assert rows == [
        "ml-intern 9 stops at the first call that needs approval (mode ask); to answer",
        "here, use ml-intern -i",
        "a/b  /w",
        "note: odd key",
        "resumed 't', 2 turns, previously in /old",
        "interrupted, may have run in part: bash",
        "I will train it.",
        "",
        "Then look.\\x1b[2J",
        "✗ bash python train.py  1.0 s, exit code 1",
        "  ValueError: bad",
        "● train",
        "busy; tried again after 3.0 s",
        "$2.50 of $5.00 spent, and 1 request of unknown price",
        "conversation shortened from 9 to 3 tokens",
        "18 s, 1.0k in, 50 out, $0.50",
        "",
    ]


@pytest.mark.parametrize("mode", ["auto", "yolo", "ask", "accept-edits", "plan"])
def test_the_first_line_says_who_approves_and_how_to_be_asked(mode: str) -> None:
    rows = Watched(200).play(event("ready", approval_mode=mode))
    assert MODES[mode] in rows[0]
    assert "ml-intern -i" in rows[0]


def test_a_running_call_shows_its_last_lines_and_its_time() -> None:
    watched = Watched()
    log = "".join(f"step {number}\n" for number in range(20))
    watched.play(event("processing", turn=1, text="go"), event("tool_call", **CALL))
    rows = watched.play(event("tool_log", id="c1", name="bash", text=f"{log}loss 0.3"))
    assert rows == [
        "● bash python train.py  1.0 s",
        "  … 16 more lines",
        *(f"  step {number}" for number in range(16, 20)),
        "  loss 0.3",
        "working  2.0 s",
    ]
    watched.now += 30.0
    watched.renderer.tick()
    assert "● bash python train.py  31 s" in watched.screen()
    ended = watched.play(event("tool_output", id="c1", name="bash", text=f"{log}loss 0.3\n[exit code 0]"))
    assert ended[0] == "✓ bash python train.py  1.0 s, exit code 0"
    assert "  loss 0.3" in ended
    assert not any("●" in row for row in ended)


def test_a_retry_is_counted_down_and_then_printed_once() -> None:
    watched = Watched()
    watched.play(event("processing", turn=1, text="go"), event("error", message="busy", retry_in_s=20.0))
    assert "busy; trying again in 20 s" in watched.screen()
    watched.now += 5.0
    watched.renderer.tick()
    assert "busy; trying again in 15 s" in watched.screen()
    rows = watched.play(event("assistant_chunk", text="ok"))
    assert [row for row in rows if "busy" in row] == ["busy; tried again after 20 s"]


def test_a_plan_is_printed_when_its_steps_change_and_its_progress_is_shown() -> None:
    watched = Watched()
    steps = [{"text": "look", "status": "in_progress"}, {"text": "train", "status": "pending"}]
    watched.play(event("processing", turn=1, text="go"), event("plan_update", steps=steps))
    after = [{"text": "look", "status": "done"}, {"text": "train", "status": "in_progress"}]
    rows = watched.play(event("plan_update", steps=after))
    assert rows[:2] == ["● look", "○ train"]
    assert "● plan 1/2: train" in rows


def test_live_rows_leave_nothing_behind_when_the_window_gets_narrower() -> None:
    watched = Watched(100)
    watched.play(event("processing", turn=1, text="go"), event("tool_call", **CALL))
    watched.play(event("tool_log", id="c1", name="bash", text="x" * 90))
    watched.width = 50
    written = len(watched.out.getvalue())
    watched.renderer.tick()
    assert "\x1b[3A" in watched.out.getvalue()[written:]  # three rows, one of which now takes two


def test_hostile_text_does_not_reach_the_terminal() -> None:
    evil = {"id": "c9", "name": f"bash{HOSTILE}", "args": {"command": HOSTILE}}
    events = (
        event("ready", notes=[HOSTILE], cwd=HOSTILE, model=HOSTILE),
        event("processing", turn=1, text=HOSTILE),
        event("assistant_chunk", text=HOSTILE),
        event("tool_call", **evil),
        event("tool_log", id="c9", name="bash", text=HOSTILE),
        event("error", message=HOSTILE, remedy=HOSTILE),
        event("plan_update", steps=[{"text": HOSTILE, "status": "pending"}]),
        event("job_update", id="r1", state="running", text=HOSTILE),
    )
    watched = Watched(theme="dark", verbose=True)
    watched.play(*events)
    written = SGR.sub("", watched.out.getvalue())
    assert not re.search(r"[\x00-\x09\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u202a-\u202e]", written)
    assert set(re.findall(r"\x1b(\[[\d;?]*[A-Za-z]|.)", written)) <= {
        "[?2026h", "[?2026l", "[J", *(f"[{rows}A" for rows in range(1, 40)),
    }  # fmt: skip
