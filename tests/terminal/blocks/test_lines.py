"""Notes, errors, retries, the plan, the status line and the end of a turn as rows."""

from itertools import pairwise
from typing import Any

from ml_intern.terminal.blocks.note import Retry, error_rows, note_rows
from ml_intern.terminal.blocks.plan import plan_rows, progress
from ml_intern.terminal.blocks.spans import span, wrap
from ml_intern.terminal.blocks.status import Status
from ml_intern.terminal.blocks.turn import TurnSummary, WorkClock
from ml_intern.terminal.blocks.width import cells
from ml_intern.terminal.theme import Theme
from tests.terminal.screens import HOSTILE, PROSE, check_rows, compare, words_are_whole

NONE = Theme("none")
ERROR: dict[str, Any] = {"message": f"the provider is busy: {HOSTILE}", "remedy": PROSE, "exit_code": 75}
STEPS = [
    {"text": "Look at the settings and the data", "status": "done"},
    {"text": f"Drop {HOSTILE}", "status": "dropped"},
    {"text": PROSE, "status": "in_progress"},
    {"text": "Write the model card", "status": "pending"},
    {"text": "Check the files", "status": "pending"},
]
STATUS = Status(
    model="anthropic/claude-sonnet-5",
    mode="accept-edits",
    folder="~/projects/reviews",
    branch="main",
    sandbox="bwrap",
    used_tokens=84_000,
    window=200_000,
    turn_tokens=12_300,
    thread_tokens=210_000,
    turn_cost="$0.12",
    thread_cost="$1.40",
    jobs=("sweep loss 0.31",),
    queued=2,
)


def test_errors_and_notes() -> None:
    compare("error", lambda width, theme: error_rows(ERROR, width, theme))
    compare("warning", lambda width, theme: error_rows({**ERROR, "exit_code": None}, width, theme))
    compare("note", lambda width, theme: note_rows(f"{PROSE}\n{HOSTILE}", "dim", width, theme, "note: "))


def test_a_retry_counts_down() -> None:
    retry = Retry("429: rate limit", 12.0)
    assert retry.rows(80, NONE, 0.0) == ["429: rate limit; trying again in 12 s"]
    assert retry.rows(80, NONE, 4.5) == ["429: rate limit; trying again in 7.5 s"]
    assert retry.rows(80, NONE, 20.0) == ["429: rate limit; trying again"]
    assert retry.rows(80, NONE) == ["429: rate limit; tried again after 12 s"]


def test_the_plan_is_a_checklist() -> None:
    compare("plan", lambda width, theme: plan_rows(STEPS, width, theme))
    assert progress(STEPS) == "1/4"


def test_a_folded_plan_is_one_row() -> None:
    compare("plan_folded", lambda width, theme: plan_rows(STEPS, width, theme, folded=True))


def test_a_long_plan_shows_the_steps_around_the_current_one() -> None:
    steps = [{"text": f"step {n}", "status": "done" if n < 20 else "pending"} for n in range(30)]
    rows = plan_rows(steps, 40, NONE, limit=5)
    assert rows[0].strip() == "… 19 above"
    assert rows[2].endswith("step 20")
    assert rows[-1].strip() == "… 6 below"


def test_the_status_line_drops_its_parts_by_priority() -> None:
    compare("status", lambda width, theme: [STATUS.row(width, theme)], (140, 120, 100, 80, 50, 40))
    shown = [set(STATUS.row(width, NONE).split()) for width in range(160, 11, -1)]
    assert all(narrow <= wide for wide, narrow in pairwise(shown))
    assert "accept-edits" in STATUS.row(40, NONE)
    assert "$1.40" in STATUS.row(40, NONE)
    assert "sweep loss 0.31" in STATUS.row(40, NONE)
    assert "42%" in STATUS.row(50, NONE)


def test_the_status_line_holds_hostile_names() -> None:
    status = Status(model=f"a/{HOSTILE}", mode=HOSTILE, folder=HOSTILE, jobs=(HOSTILE,), queued=1)
    check_rows(lambda width, theme: [status.row(width, theme)], (100, 80, 50, 40, 10))


def test_the_end_of_a_turn() -> None:
    done = TurnSummary("done", "", 63.0, 125.0, 12_000, 800, "$0.12")
    assert done.rows(100, NONE) == ["1 min 3 s (and 2 min 5 s waiting for you), 12.0k in, 800 out, $0.12"]
    limit = TurnSummary("limit", f"the budget is spent {HOSTILE}", 3.0)
    compare("turn_limit", limit.rows)


def test_the_context_in_use_is_not_shown_while_it_is_unknown() -> None:
    shown = [Status(mode="ask", window=128_000, used_tokens=used).row(100, NONE) for used in (0, None)]
    assert ["context" in row for row in shown] == [True, False]


def test_the_time_a_question_waits_is_not_work() -> None:
    clock = WorkClock()
    clock.start(100.0)
    clock.pause(110.0)
    assert clock.worked(500.0) == 10.0
    clock.resume(500.0)
    assert clock.worked(505.0) == 15.0
    assert clock.waited(505.0) == 390.0
    clock.start(600.0)
    assert clock.worked(601.0) == 1.0


def test_the_time_that_the_program_was_stopped_is_not_work() -> None:
    clock = WorkClock()
    clock.start(100.0)
    clock.tick(110.0)
    clock.see_stop(3_710.0)
    assert clock.worked(3_712.0) == 12.0
    clock.tick(3_712.0)
    clock.pause(3_712.0)
    clock.resume(3_800.0)
    clock.tick(3_801.0)
    assert (clock.worked(3_801.0), clock.waited(3_801.0)) == (13.0, 88.0)


def test_a_turn_whose_beginning_was_not_seen_begins_with_its_question() -> None:
    clock = WorkClock()
    assert (clock.worked(59_000.0), clock.waited(59_000.0)) == (0.0, 0.0)
    clock.pause(59_000.0)
    clock.resume(59_100.0)
    assert (clock.worked(59_103.0), clock.waited(59_103.0)) == (3.0, 100.0)
    clock.stop()
    clock.resume(60_000.0)
    assert clock.worked(60_004.0) == 4.0


def test_lines_break_at_blanks_and_wide_characters() -> None:
    for width in range(8, 60):
        rows = ["".join(one.text for one in line) for line in wrap((span(f"{PROSE} {'中文' * 20} end"),), width)]
        assert all(cells(row) <= width for row in rows)
        assert "".join(rows).replace(" ", "") == f"{PROSE}{'中文' * 20}end".replace(" ", "")
        words_are_whole(PROSE, rows, width)
