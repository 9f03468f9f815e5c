"""The roster of threads: state, question, cost and metric of each, for `threads list --watch`."""

from collections.abc import Sequence
from dataclasses import dataclass

from ml_intern.terminal.blocks.spans import Span, paint
from ml_intern.terminal.blocks.width import cells, cut, one_row
from ml_intern.terminal.render.summary import age
from ml_intern.terminal.theme import Style, Theme
from ml_intern.terminal.views.choice import fitted
from ml_intern.terminal.views.outcome import CANCELLED, Cancelled, Chosen
from ml_intern.terminal.views.picker import rank
from ml_intern.text.formatting import plural

WIDE = 70
"""Width from which the folder is shown."""
_STATES: dict[str, Style] = {"running": "success", "waiting": "warning", "interrupted": "failure", "idle": "dim"}
STEPS = {"up": -1, "down": 1, "s-tab": -1, "tab": 1}
KEYS = "Enter opens the thread, text filters, Esc leaves"


@dataclass(frozen=True)
class RosterEntry:
    """A thread as the roster shows it."""

    id: str
    title: str
    state: str
    folder: str
    updated: float
    cost: str
    question: str = ""
    """The question, if it waits for an answer."""
    metric: str = ""
    """The latest metrics of its background runs."""


class RosterView:
    """The list. It can be updated while the user moves in it; the selection stays with its thread."""

    def __init__(self, entries: Sequence[RosterEntry]) -> None:
        self._all = tuple(entries)
        self.query = ""
        self.note = ""
        """A message that replaces the row of keys."""
        self._selected = self._all[0].id if self._all else ""

    def update(self, entries: Sequence[RosterEntry]) -> None:
        """Replace the entries."""
        self._all = tuple(entries)

    @property
    def entries(self) -> list[RosterEntry]:
        """Return the entries that match the filter."""
        texts = [f"{one.title} {one.folder} {one.state} {one.id}" for one in self._all]
        return [self._all[place] for place in rank(self.query, texts)]

    def _place(self) -> int:
        return next((place for place, one in enumerate(self.entries) if one.id == self._selected), 0)

    @property
    def selected(self) -> RosterEntry | None:
        """Return the selected thread."""
        entries = self.entries
        return entries[self._place()] if entries else None

    def handle(self, key: str) -> Chosen[RosterEntry] | Cancelled | None:
        """Take a key. Text filters; Esc clears the filter, then leaves."""
        if key in STEPS and (entries := self.entries):
            self._selected = entries[(self._place() + STEPS[key]) % len(entries)].id
        elif key == "enter":
            return Chosen(self.selected) if self.selected else None
        elif key in ("c-c", "c-d") or (key == "esc" and not self.query):
            return CANCELLED
        elif key == "esc":
            self.query = ""
        elif key == "backspace":
            self.query = self.query[:-1]
        elif len(key) == 1 and key.isprintable():
            self.query += key
        return None

    def rows(self, width: int, height: int, theme: Theme, now: float) -> list[str]:
        """Return the rows: a title, one block per thread, the keys."""
        entries = self.entries
        running, waiting = (sum(one.state == state for one in self._all) for state in ("running", "waiting"))
        words = f"{plural(len(self._all), 'thread')}, {running} running, {waiting} waiting for you"
        title = f"{words}, filter: {one_row(self.query)}" if self.query else words
        blocks = [self._entry(one, width, theme, now) for one in entries]
        listed = fitted(blocks, self._place(), max(height - 2, 1)) if blocks else [theme.paint("dim", "no threads")]
        return [theme.paint("bold", cut(title, width)), *listed, self._last_row(width, theme)]

    def _last_row(self, width: int, theme: Theme) -> str:
        return theme.paint("warning" if self.note else "hint", cut(self.note or KEYS, width))

    def _entry(self, entry: RosterEntry, width: int, theme: Theme, now: float) -> list[str]:
        chosen = entry.id == (self.selected.id if self.selected else "")
        mark = f"{theme.glyph('pointer') if chosen else ' '} "
        state = f"{entry.state:11} "
        end = f"  {entry.cost}  {age(max(now - entry.updated, 0.0))}"
        title = one_row(entry.title or "(untitled)")
        folder = f"  {one_row(entry.folder)}" if width >= WIDE else ""
        room = max(width - len(mark) - len(state) - len(end), 1)
        text = cut(title, max(room - cells(folder), room // 2))
        place = cut(folder, max(room - cells(text), 0), theme.glyph("more"))
        gap = " " * max(room - cells(text) - cells(place), 0)
        first = [
            Span(mark, "accent"), Span(state, _STATES.get(entry.state, "plain")),
            Span(text, "selected" if chosen else "plain"), Span(place, "dim"), Span(gap), Span(end, "dim"),
        ]  # fmt: skip
        details: list[tuple[str, Style]] = [(entry.question, "warning"), (entry.metric, "accent")]
        more = [theme.paint(style, cut(f"  {one_row(words)}", width)) for words, style in details if words]
        return [paint(first, theme), *more]
