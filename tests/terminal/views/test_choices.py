"""Lists to choose from: keys in, outcomes and rows out."""

import asyncio

import pytest

from ml_intern.terminal.theme import Theme
from ml_intern.terminal.views.choice import ChoiceView, ListChoice
from ml_intern.terminal.views.outcome import CANCELLED, Chosen
from ml_intern.terminal.views.picker import Item, PickerView, rank
from ml_intern.terminal.views.rewind import Effect, ForkBefore, RewindTurn, RewindView, UndoFrom
from ml_intern.terminal.views.roster import RosterEntry, RosterView
from tests.terminal.keyboard import keyboard
from tests.terminal.screens import HOSTILE, PROSE, check_rows, compare

NONE = Theme("none")
CHOICES = [
    ListChoice("yes", "Yes", "y"),
    ListChoice("always", f"Yes, and {PROSE}", "t"),
    ListChoice("no", HOSTILE, "n"),
]


@pytest.mark.parametrize(
    ("keys", "value"),
    [(["enter"], "yes"), (["down", "enter"], "always"), (["up", "enter"], "no"), (["2"], "always"), (["n"], "no"),
     (["N"], "no"), (["end", "home", "down", "enter"], "always"), (["x", "7", "enter"], "yes")],
)  # fmt: skip
def test_a_choice_is_made_with_arrows_digits_or_letters(keys: list[str], value: str) -> None:
    view = ChoiceView(CHOICES)
    outcomes = [view.handle(key) for key in keys]
    assert outcomes[:-1] == [None] * (len(keys) - 1)
    assert outcomes[-1] == Chosen(value)


def test_escape_cancels() -> None:
    assert ChoiceView(CHOICES).handle("esc") == CANCELLED


def test_choices_at_every_width() -> None:
    compare("choice", lambda width, theme: ChoiceView(CHOICES, 1).rows(width, 30, theme))


def test_the_selected_choice_is_shown_on_a_low_screen() -> None:
    view = ChoiceView([ListChoice(number, f"choice {number}") for number in range(30)], 20)
    rows = view.rows(40, 4, NONE)
    assert len(rows) == 4
    assert any("choice 20" in row for row in rows)


ITEMS = [Item(1, "fine-tune the classifier", "3 h"), Item(2, "read the paper", "1 d"), Item(3, HOSTILE, PROSE)]


def test_text_filters_and_enter_chooses() -> None:
    view = PickerView("Threads", ITEMS)
    for key in "papr":
        assert view.handle(key) is None
    assert view.selected == ITEMS[1]
    assert view.handle("enter") == Chosen(2)
    assert view.handle("c-u") is None
    assert view.query == ""
    view.handle("p")
    assert view.handle("esc") == CANCELLED


def test_nothing_is_chosen_where_nothing_matches() -> None:
    view = PickerView("Threads", ITEMS)
    for key in "zzzz":
        view.handle(key)
    assert view.selected is None
    assert view.handle("enter") is None
    assert view.handle("down") is None


def test_a_picker_at_every_width() -> None:
    def rows(width: int, theme: Theme) -> list[str]:
        view = PickerView(f"Threads {HOSTILE}", ITEMS)
        view.handle("down")
        view.show(ITEMS[1], ["> read the paper", f"  {PROSE}", HOSTILE])
        return view.rows(width, 12, theme)

    compare("picker", rows)


def test_a_preview_is_wanted_once() -> None:
    view = PickerView("Threads", ITEMS)
    assert view.needs_preview() == ITEMS[0]
    view.show(ITEMS[0], ["hello"])
    assert view.needs_preview() is None
    assert any("hello" in row for row in view.rows(80, 20, NONE))


def test_matches_are_ranked() -> None:
    texts = ["train_eval.py", "eval.py", "tests/test_train.py", "README.md", "retrieval"]
    assert [texts[place] for place in rank("eval", texts)] == ["eval.py", "train_eval.py", "retrieval"]
    assert rank("", texts) == [0, 1, 2, 3, 4]
    assert [texts[place] for place in rank("redme", texts)] == ["README.md"]


TURNS = [
    RewindTurn(1, "an inherited turn", 0.0, "parent"),
    RewindTurn(2, f"own turn {HOSTILE}", 60.0),
    RewindTurn(3, "last turn", 120.0),
]


def test_a_turn_is_undone_with_those_after_it() -> None:
    view = RewindView(TURNS, 180.0)
    assert [view.handle(key) for key in ("up", "enter")] == [None, None]
    assert view.handle("c") == UndoFrom(TURNS[1], 2, "conversation")


def test_an_inherited_turn_is_forked_from() -> None:
    view = RewindView(TURNS, 180.0)
    view.handle("home")
    for _ in range(2):
        view.handle("up")
    assert view.handle("enter") == ForkBefore(TURNS[0])


def test_a_turn_that_changed_no_file_is_undone_at_once() -> None:
    view = RewindView(TURNS, 180.0)
    view.show(TURNS[2], Effect(["no files change"], files=False))
    assert view.handle("enter") == UndoFrom(TURNS[2], 1, "both")


def test_files_of_the_user_are_included_only_where_there_are_some_and_after_enter() -> None:
    view = RewindView(TURNS, 180.0)
    view.show(TURNS[2], Effect(["remove out.txt"]))
    assert [view.handle(key) for key in ("enter", "a")] == [None, None]
    assert view.handle("b") == UndoFrom(TURNS[2], 1, "both")
    view = RewindView(TURNS, 180.0)
    view.show(TURNS[2], Effect(["remove out.txt"], yours=True))
    assert [view.handle(key) for key in ("enter", "a")] == [None, None]
    assert view.handle("enter") == UndoFrom(TURNS[2], 1, "both", all_files=True)


def test_escape_goes_back_to_the_turns() -> None:
    view = RewindView(TURNS, 180.0)
    view.handle("enter")
    assert view.handle("esc") is None
    assert view.handle("esc") == CANCELLED


def test_the_turns_at_every_width() -> None:
    def rows(width: int, theme: Theme) -> list[str]:
        view = RewindView(TURNS, 180.0)
        view.show(TURNS[2], Effect(["files: train.py +3 -1", "> last turn"], yours=True))
        view.handle("enter")
        return view.rows(width, 20, theme)

    compare("rewind", rows)


def entry(id: str, **fields: str) -> RosterEntry:
    shown = {"title": "t", "state": "idle", "folder": "/w", "cost": "$0.10"} | fields
    return RosterEntry(id, updated=100.0, **shown)


ROSTER = [
    entry("a", title="fine-tune the classifier on reviews", state="running", metric="sweep: loss 0.31, step 400"),
    entry(
        "b", title=HOSTILE, state="waiting", question=f"bash {HOSTILE}", folder="/home/user/projects/with/a/long/name"
    ),
    entry("c", title="", state="interrupted"),
]


def test_the_roster_at_every_width() -> None:
    compare("roster", lambda width, theme: RosterView(ROSTER).rows(width, 12, theme, 400.0))


def test_the_selection_stays_with_its_thread() -> None:
    view = RosterView(ROSTER)
    view.handle("down")
    view.update([ROSTER[2], ROSTER[0], ROSTER[1]])
    assert view.handle("enter") == Chosen(ROSTER[1])
    for key in "fine":
        view.handle(key)
    assert view.handle("enter") == Chosen(ROSTER[0])


def test_an_empty_roster() -> None:
    view = RosterView([])
    assert view.handle("enter") is None
    assert view.handle("down") is None
    check_rows(lambda width, theme: view.rows(width, 3, theme, 0.0))


async def test_a_question_waits_until_the_list_that_the_user_reads_is_closed() -> None:
    async with keyboard() as typed:
        read = asyncio.ensure_future(typed.console.choose(ChoiceView([ListChoice(1, "an output")]), at_once=True))
        await typed.shows("an output")
        asked = asyncio.ensure_future(typed.console.choose(ChoiceView([ListChoice(2, "a question", "q")])))
        await typed.type("\x1b")
        assert await asyncio.wait_for(read, 60) is CANCELLED
        await typed.shows("a question")
        await typed.type("q")
        assert await asyncio.wait_for(asked, 60) == Chosen(2)


async def test_a_question_that_is_answered_elsewhere_before_it_is_shown_does_not_appear() -> None:
    async with keyboard() as typed:
        await typed.type("a draft")
        asked = asyncio.ensure_future(typed.console.choose(ChoiceView([ListChoice(2, "a question")])))
        await asyncio.sleep(0)
        typed.console.dismiss("answered")
        assert await asyncio.wait_for(asked, 60) == "answered"
        assert "a question" not in typed.view()
