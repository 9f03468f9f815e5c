"""A headless run on a terminal: what is printed for good, and what is shown while it runs."""

import re

import pytest

from ml_intern.graph.events import Event
from ml_intern.terminal.display import frame
from ml_intern.terminal.display.frame import Size
from ml_intern.terminal.progress import MODES, ProgressRenderer
from ml_intern.terminal.theme import Theme, ThemeName
from tests.terminal.display.pyte_screen import Drawn
from tests.terminal.events import CALL, TURN, event
from tests.terminal.screens import HOSTILE, SGR


class Watched(Drawn):
    """A renderer on a terminal in memory. Time passes only where a test says so."""

    def __init__(self, width: int = 80, height: int = 24, *, theme: ThemeName = "none", verbose: bool = False) -> None:
        super().__init__(width, height)
        self.now = 0.0
        self.renderer = ProgressRenderer(
            self.write,
            lambda: self.reported,
            Theme(theme),
            verbose=verbose,
            clock=lambda: self.now,
        )

    def play(self, *events: Event) -> list[str]:
        for one in events:
            self.now += 1.0
            self.renderer.show(one)
        return self.everything()


def test_a_turn_is_printed_and_nothing_else_stays() -> None:
    rows = Watched().play(*TURN, event("shutdown", reason="closed"))
    assert rows == [
        "ml-intern 9 stops at the first call that needs approval (mode ask); to answer",
        "here, use ml-intern -i",
        "a/b  /w",
        "note: odd key",
        "resumed 't', 2 turns, previously in /old; the last one was interrupted",
        "interrupted, may have run in part: bash",
        "I will train it.",
        "",
        "Then look.\\x1b[2J",
        "✗ bash python train.py  1.0 s, exit code 1",
        "  ValueError: bad",
        "busy; tried again after 3.0 s",
        "(the reply was cut off and may be incomplete)",
        "$2.50 of $5.00 spent, and 1 request of unknown price",
        "conversation shortened from 9 to 3 tokens",
        "  ● train",
        "18 s, 1.0k in, 50 out, $0.50",
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
        "⠋ running (2.0 s)",
    ]
    watched.now += 30.0
    watched.renderer.tick()
    assert "● bash python train.py  31 s" in watched.view()
    ended = watched.play(event("tool_output", id="c1", name="bash", text=f"{log}loss 0.3\n[exit code 0]"))
    assert ended[0] == "✓ bash python train.py  1.0 s, exit code 0"
    assert "  loss 0.3" in ended
    assert not any("●" in row for row in ended)


def test_a_retry_is_counted_down_and_then_printed_once() -> None:
    watched = Watched()
    watched.play(event("processing", turn=1, text="go"), event("error", message="busy", retry_in_s=20.0))
    assert "busy; trying again in 20 s" in watched.view()
    watched.now += 5.0
    watched.renderer.tick()
    assert "busy; trying again in 15 s" in watched.view()
    rows = watched.play(event("assistant_chunk", text="ok"))
    assert [row for row in rows if "busy" in row] == ["busy; tried again after 20 s"]


def test_a_plan_is_shown_while_it_is_worked_on_and_printed_once_at_the_end() -> None:
    watched = Watched()
    steps = [{"text": "look", "status": "in_progress"}, {"text": "train", "status": "pending"}]
    rows = watched.play(event("processing", turn=1, text="go"), event("plan_update", steps=steps))
    assert rows[:2] == ["  ● look", "  ○ train"]
    done = [{**step, "status": "done"} for step in steps]
    rows = watched.play(event("plan_update", steps=done), event("turn_complete", turn=1, text="", iterations=1))
    assert rows[:2] == ["  ✓ look", "  ✓ train"]
    assert len(rows) == 3


def test_running_calls_take_half_of_the_screen_at_most() -> None:
    watched = Watched(80, 24)
    watched.play(event("processing", turn=1, text="go"))
    for number in range(8):
        id = f"c{number}"
        watched.play(event("tool_call", **{**CALL, "id": id}))
        watched.play(event("tool_log", id=id, name="bash", text="".join(f"row {row}\n" for row in range(9))))
    rows = watched.everything()
    assert rows == watched.view()
    assert 8 < len(rows) <= 12
    assert rows[-1].startswith("⠋ running")


def test_live_rows_leave_nothing_behind_when_the_window_gets_narrower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame, "LATE_S", 0.0)
    watched = Watched(100)
    watched.play(event("processing", turn=1, text="go"), event("tool_call", **CALL))
    watched.play(event("tool_log", id="c1", name="bash", text="x" * 90))
    watched.reported = Size(50, 24)
    watched.renderer.tick()
    assert "\x1b[3A" in watched.writes[-1]  # three rows, one of which now takes two


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
    written = SGR.sub("", "".join(watched.writes))
    assert not re.search(r"[\x00-\x09\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u202a-\u202e]", written)
    assert set(re.findall(r"\x1b(\[[\d;?]*[A-Za-z]|.)", written)) <= {
        "[?2026h", "[?2026l", "[?25h", "[?25l", "[?7h", "[?7l", "[2K", "[B", "[J", "7", "8",
        *(f"[{count}{way}" for count in range(1, 80) for way in "AC"),
    }  # fmt: skip
