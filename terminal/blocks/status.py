"""The status line: what the session is and costs. On a narrow terminal it drops its parts by priority."""

from collections.abc import Sequence
from dataclasses import dataclass

from ml_intern.terminal.blocks.spans import Line, Span, paint, width_of
from ml_intern.terminal.blocks.width import cut, one_row
from ml_intern.terminal.render.summary import tokens
from ml_intern.terminal.theme import Style, Theme

SEPARATOR = "  "
BAR = 10
MAX_PART = 36
"""Longest part in cells."""
WARN_SHARE, FULL_SHARE = 0.7, 0.9
_MODE_STYLES: dict[str, Style] = {"ask": "plain", "accept-edits": "accent", "plan": "accent", "auto": "warning"}


@dataclass(frozen=True)
class Status:
    """The content of the status line. An empty part is left out."""

    model: str = ""
    mode: str = ""
    folder: str = ""
    branch: str = ""
    sandbox: str = ""
    used_tokens: int | None = 0
    """Tokens of the context window in use; None if unknown, as after a resume."""
    window: int | None = None
    turn_tokens: int = 0
    thread_tokens: int = 0
    turn_cost: str = ""
    thread_cost: str = ""
    jobs: Sequence[str] = ()
    """One word per running job: its name and its metric."""
    queued: int = 0

    def row(self, width: int, theme: Theme) -> str:
        """Return the status line, at most `width` cells wide."""
        return paint(self._line(width, theme), theme)

    def _line(self, width: int, theme: Theme) -> Line:
        parts = [(place, priority, line) for place, (priority, line) in enumerate(self._parts(theme)) if width_of(line)]
        chosen: list[tuple[int, Line]] = []
        used = 0
        for place, _, line in sorted(parts, key=lambda part: part[1]):
            size = width_of(line) + (len(SEPARATOR) if chosen else 0)
            if used + size > width:
                break
            chosen.append((place, line))
            used += size
        joined: list[Span] = []
        for _, line in sorted(chosen):
            joined += [*([Span(SEPARATOR)] if joined else []), *line]
        return tuple(joined)

    def _parts(self, theme: Theme) -> list[tuple[int, Line]]:
        """Return the parts in the order in which they are shown, each with its priority: 0 is dropped last."""
        return [
            (0, (_span(self.mode, _MODE_STYLES.get(self.mode, "failure")),)),
            (5, (_span(self.model.rpartition("/")[2], "bold"),)),
            (8, self._bar(theme)),
            (3, self._context()),
            (1, (_span(self.thread_cost),)),
            (6, (_span(self._turn()),)),
            (4, (_span(f"{self.queued} queued" if self.queued else "", "accent"),)),
            (2, (_span(", ".join(self.jobs), "accent"),)),
            (7, (_span(self._place(), "dim"),)),
            (9, (_span(self.sandbox, "dim"),)),
            (10, (_span(f"thread {tokens(self.thread_tokens)}" if self.thread_tokens else "", "dim"),)),
        ]

    def _share(self) -> float | None:
        return self.used_tokens / self.window if self.window and self.used_tokens is not None else None

    def _context(self) -> Line:
        share = self._share()
        if share is None:
            return (Span(f"{tokens(self.used_tokens)} context"),) if self.used_tokens else ()
        return (Span(f"{share:.0%} context", _share_style(share)),)

    def _bar(self, theme: Theme) -> Line:
        share = self._share()
        if share is None:
            return ()
        full = min(round(share * BAR), BAR)
        empty = Span(theme.glyph("empty") * (BAR - full), "dim")
        return (Span(theme.glyph("full") * full, _share_style(share)), empty)

    def _turn(self) -> str:
        words = " ".join(filter(None, [tokens(self.turn_tokens) if self.turn_tokens else "", self.turn_cost]))
        return f"turn {words}" if words else ""

    def _place(self) -> str:
        branch = f" ({self.branch})" if self.branch else ""
        return f"{self.folder}{branch}" if self.folder else ""


def _span(text: str, style: Style = "plain") -> Span:
    """Return a part, cut to the length that a part may have."""
    return Span(cut(one_row(text), MAX_PART), style)


def _share_style(share: float) -> Style:
    return "failure" if share >= FULL_SHARE else "warning" if share >= WARN_SHARE else "plain"
