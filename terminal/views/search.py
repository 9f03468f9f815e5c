"""A search as it runs: the metric over the attempts, and the tree with what each attempt is and costs."""

from typing import Final

from ml_intern.search.record import SearchRecord
from ml_intern.search.tree import Attempt, State
from ml_intern.search.views.rows import AttemptRow, attempt_rows, metric_text, progress
from ml_intern.terminal.blocks.plot import plot
from ml_intern.terminal.blocks.spans import Span, paint, span
from ml_intern.terminal.blocks.width import cut, one_row
from ml_intern.terminal.theme import Style, Theme
from ml_intern.terminal.views.outcome import CANCELLED, Cancelled, Chosen
from ml_intern.text.formatting import duration, money, plural

PLOT_ROWS: Final = 6
MIN_ROWS: Final = 18
"""Height from which the curve is shown."""
MAX_NAME: Final = 32
KEYS: Final = "Enter shows the change of an attempt, Esc leaves; the search continues"
_STYLES: Final[dict[State, Style]] = {
    "accepted": "success", "crashed": "failure", "refused": "failure", "discarded": "dim", "stopped": "dim",
    "working": "accent", "evaluating": "accent",
}  # fmt: skip
_STEPS: Final = {"up": -1, "down": 1, "s-tab": -1, "tab": 1, "pageup": -10, "pagedown": 10}


class SearchView:
    """The search. It can be updated while the user moves in it; the selection stays with its attempt."""

    def __init__(self, search: SearchRecord) -> None:
        self._follows, self._selected = True, 0
        self.update(search)

    def update(self, search: SearchRecord) -> None:
        """Replace the search. Until the user moves, the latest attempt is selected."""
        self._search = search
        self._rows = attempt_rows(search.tree)
        if self._follows and search.tree.attempts:
            self._selected = search.tree.attempts[-1].number

    def _place(self) -> int:
        return next((place for place, row in enumerate(self._rows) if row.attempt.number == self._selected), 0)

    @property
    def selected(self) -> Attempt | None:
        """Return the selected attempt."""
        return self._rows[self._place()].attempt if self._rows else None

    def handle(self, key: str) -> Chosen[Attempt] | Cancelled | None:
        """Take a key."""
        if key in _STEPS and self._rows:
            place = min(max(self._place() + _STEPS[key], 0), len(self._rows) - 1)
            self._selected, self._follows = self._rows[place].attempt.number, False
        elif key == "enter":
            return Chosen(self.selected) if self.selected else None
        elif key in ("esc", "c-c", "c-d"):
            return CANCELLED
        return None

    def rows(self, width: int, height: int, theme: Theme) -> list[str]:
        """Return the rows: what the search is, its curve, the tree, the selected attempt, the keys."""
        curve = plot(*progress(self._search.tree), width, PLOT_ROWS, theme) if height >= MIN_ROWS else []
        above = [*self._head(width, theme), *curve]
        below = [*self._details(width, theme), theme.paint("hint", cut(KEYS, width))]
        return [*above, *self._tree(width, max(height - len(above) - len(below), 1), theme), *below]

    def _head(self, width: int, theme: Theme) -> list[str]:
        search, tree = self._search, self._search.tree
        budget = "" if search.limits.budget_usd is None else f" of {money(search.limits.budget_usd)}"
        of = "" if search.limits.attempts is None else f" of {search.limits.attempts}"
        about = [
            f"{search.state}{f': {search.why}' if search.why else ''}",
            f"{plural(max(len(tree.attempts) - 1, 0), 'attempt')}{of}, {len(tree.running)} running",
            f"best {metric_text(tree.best.score)}" if tree.best else "",
            f"{money(search.spent_usd)}{budget}",
            duration(search.seconds),
        ]
        title = f"search {search.search_id}: {search.plan.objective}"
        return [
            theme.paint("bold", cut(one_row(title), width)),
            theme.paint("dim", cut(one_row(" · ".join(filter(None, about))), width)),
        ]

    def _tree(self, width: int, height: int, theme: Theme) -> list[str]:
        first = max(min(self._place() - height // 2, len(self._rows) - height), 0)
        shown = self._rows[first : first + height]
        named = min(max((len(row.name) for row in shown), default=0), MAX_NAME)
        return [self._row(row, named, width, theme) for row in shown]

    def _row(self, row: AttemptRow, named: int, width: int, theme: Theme) -> str:
        one = row.attempt
        chosen = one.number == self._selected
        name, metric, state, cost, idea = row.cells
        style = _STYLES.get(one.state, "plain")
        parts = [
            Span(f"{theme.glyph('pointer') if chosen else ' '} ", "accent"),
            Span(f"{cut(name, named, theme.glyph('more')):{named}}  ", "selected" if chosen else "plain"),
            Span(f"{state:13} ", style), Span(f"{metric.partition(' ')[0]:8} ", "bold" if row.best else "plain"),
            Span(f"{cost:>7}  ", "dim"),
        ]  # fmt: skip
        used = sum(len(part.text) for part in parts)
        text = one_row(" ".join(filter(None, (idea, f"({one.why})" if one.why else ""))))
        if used >= width:
            return cut("".join(part.text for part in parts), width)
        return paint([*parts, Span(cut(text, width - used, theme.glyph("more")))], theme)

    def _details(self, width: int, theme: Theme) -> list[str]:
        """Return what does not fit into the row of the selected attempt."""
        one = self.selected
        if one is None:
            return []
        words = [metric_text(one.score), one.idea, one.why, one.branch]
        line = f"{one.number}: {one_row(' · '.join(filter(None, words)))}"
        return [paint([span(cut(line, width), "dim")], theme)]
