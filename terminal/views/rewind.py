"""The list of turns to return to, with those that a fork inherited, and what to restore."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_intern.terminal.blocks.width import one_row
from ml_intern.terminal.render.replay import without_files
from ml_intern.terminal.render.summary import age
from ml_intern.terminal.theme import Theme
from ml_intern.terminal.views.choice import ChoiceView, ListChoice
from ml_intern.terminal.views.outcome import CANCELLED, Cancelled, Chosen
from ml_intern.terminal.views.picker import Item, PickerView

if TYPE_CHECKING:
    from ml_intern.graph.operations import Scope


@dataclass(frozen=True)
class RewindTurn:
    """A turn to return to. `thread` is the thread that it was inherited from, or "" for a turn of this one."""

    number: int
    text: str
    ended: float | None
    thread: str = ""


@dataclass(frozen=True)
class UndoFrom:
    """Undo `count` turns: the chosen one and those after it."""

    turn: RewindTurn
    count: int
    scope: "Scope"
    all_files: bool = False


@dataclass(frozen=True)
class ForkBefore:
    """Continue in a copy of an earlier thread that ends before an inherited turn."""

    turn: RewindTurn


RewindOutcome = UndoFrom | ForkBefore | Cancelled
Restored = tuple["Scope", bool]
"""The effect of an undo, and whether it includes files that the user changed."""


@dataclass(frozen=True)
class Effect:
    """The effect of a return to before a turn, for its preview."""

    lines: Sequence[str]
    files: bool = True
    """Whether files would change."""
    yours: bool = False
    """Whether the user changed files since."""


class RewindView:
    """First the turn, then what to restore. The caller adds the effect of each turn."""

    def __init__(self, turns: Sequence[RewindTurn], now: float) -> None:
        self.turns = tuple(turns)
        items = [Item(turn, _title(turn), _about(turn, now)) for turn in turns]
        self.picker = PickerView("Go back to before which turn?", items, max(len(items) - 1, 0))
        self._effects: dict[RewindTurn, Effect] = {}
        self._scope: ChoiceView[Restored] | None = None
        self._wanted: RewindTurn | None = None
        """The turn that was chosen in plain mode, which shows its effect before it asks what to restore."""

    def count(self, turn: RewindTurn) -> int:
        """Return how many turns of this thread an undo of this turn takes away."""
        return sum(not one.thread and one.number >= turn.number for one in self.turns)

    def needs_preview(self) -> RewindTurn | None:
        """Return the selected turn if it has no preview yet."""
        item = self.picker.needs_preview()
        return item.value if item else None

    def show(self, turn: RewindTurn, effect: Effect) -> None:
        """Set the preview of a turn."""
        self._effects[turn] = effect
        self.picker.show(next(item for item in self.picker.items if item.value == turn), effect.lines)

    def handle(self, key: str) -> RewindOutcome | None:
        """Take a key."""
        if self._scope is not None:
            return self._choose_scope(self._scope, key)
        outcome = self.picker.handle(key)
        return self._chosen(outcome.value) if isinstance(outcome, Chosen) else outcome

    def _chosen(self, turn: RewindTurn) -> RewindOutcome | None:
        effect = self._effects.get(turn)
        if turn.thread:
            return ForkBefore(turn)
        if effect is not None and not effect.files:
            return UndoFrom(turn, self.count(turn), "both")
        self._scope = scope_view(effect)
        return None

    def as_lines(self) -> list[str]:
        """Return the question for plain mode: the turns, then the effect of the chosen one and what to restore."""
        if self._wanted is None:
            return self.picker.as_lines()
        self._scope = scope_view(self._effects.get(self._wanted))
        return [*self._effects[self._wanted].lines, *self._scope.as_lines(), "An empty line goes back."]

    def answer(self, line: str) -> RewindOutcome | None:
        """Take a line of plain mode."""
        if self._scope is not None:
            if not line.strip():
                self._scope = self._wanted = None
                return None
            return self._restored(self._scope.answer(line))
        outcome = self.picker.answer(line)
        if not isinstance(outcome, Chosen):
            return outcome
        if outcome.value.thread:
            return ForkBefore(outcome.value)
        self._wanted = outcome.value
        return None

    def paste(self, text: str) -> None:
        """Add pasted text to the filter."""
        if self._scope is None:
            self.picker.paste(text)

    def _choose_scope(self, scopes: ChoiceView[Restored], key: str) -> RewindOutcome | None:
        outcome = scopes.handle(key)
        if outcome == CANCELLED:
            self._scope = None
        return self._restored(outcome)

    def _restored(self, outcome: object) -> UndoFrom | None:
        selected = self.picker.selected
        if isinstance(outcome, Chosen) and selected is not None:
            scope, all_files = outcome.value
            return UndoFrom(selected.value, self.count(selected.value), scope, all_files)
        return None

    def rows(self, width: int, height: int, theme: Theme) -> list[str]:
        """Return the rows."""
        if self._scope is None:
            return self.picker.rows(width, height, theme)
        choices = self._scope.rows(width, height, theme)
        return [*self.picker.rows(width, max(height - len(choices), 1), theme), *choices][-height:]


def scope_view(effect: Effect | None, title: Sequence[str] = ()) -> ChoiceView[Restored]:
    """Return the question what an undo restores."""
    yours = effect is None or effect.yours
    return ChoiceView(_SCOPES if yours else _SCOPES[:-1], title=title)


_SCOPES: Sequence[ListChoice[Restored]] = (
    ListChoice(("both", False), "Conversation and files", "b"),
    ListChoice(("conversation", False), "Conversation only", "c"),
    ListChoice(("files", False), "Files only", "f"),
    ListChoice(("both", True), "Conversation and all files, also those you changed yourself", "a", confirmed=True),
)


def _title(turn: RewindTurn) -> str:
    return f"{turn.number}  {one_row(without_files(turn.text))}"


def _about(turn: RewindTurn, now: float) -> str:
    when = age(max(now - turn.ended, 0.0)) if turn.ended else ""
    return "  ".join(filter(None, [when, "before the fork" if turn.thread else ""]))
