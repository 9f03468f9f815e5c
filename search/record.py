"""A search as plain values: what the store keeps of it, and what the report, the terminal and the page show."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ml_intern.search.plan import SearchLimits, SearchPlan
from ml_intern.search.tree import Score, SearchTree

SearchState = Literal["measuring", "running", "paused", "concluding", "finished", "stopped", "failed"]
"""measuring: the baseline and its noise; concluding: the finalists run again, then the hold-out; finished: with or
without a winner; stopped: by the user; failed: no baseline, or a disk that is full. The last two can be resumed."""

ENDED: Final = ("finished", "stopped", "failed")


@dataclass(frozen=True)
class Finalist:
    """One of the best attempts, and its evaluations with new seeds. `score` is None if they failed: `why` says it."""

    attempt: int
    score: Score | None
    why: str = ""


@dataclass(frozen=True)
class Contribution:
    """The winner without one of its accepted changes."""

    attempt: int
    """The attempt that made the change."""
    without: Score | None
    """None if the change cannot be taken out alone: `why` says it."""
    why: str = ""


@dataclass(frozen=True)
class Conclusion:
    """The end of a search."""

    winner: int | None
    """None: no attempt is better than the baseline. `why` says it."""
    why: str = ""
    finalists: tuple[Finalist, ...] = ()
    contributions: tuple[Contribution, ...] = ()
    holdout: Score | None = None
    """The winner on the hold-out; None without a hold-out or a winner."""
    holdout_baseline: Score | None = None
    """The baseline on the hold-out."""
    diff: str = ""
    """The winner's changes against the baseline, as git prints them."""
    baseline: Score | None = None
    """The baseline with the new seeds of the finalists."""


@dataclass(frozen=True)
class SearchRecord:
    """A search as it is now. Times in seconds since the epoch."""

    search_id: str
    plan: SearchPlan
    limits: SearchLimits
    tree: SearchTree
    state: SearchState
    started: float
    why: str = ""
    """The reason for the state: why it is paused, stopped or failed."""
    spent_usd: float | None = 0.0
    """None: the price of a call is unknown."""
    seconds: float = 0.0
    """How long it has run, without pauses and without the time when no process ran it."""
    finished: float | None = None
    rows: int = 0
    """Rows that the metric is computed on, as the evaluator prints them; 0 if it does not. See search/noise.py."""
    linked: Mapping[str, str] = field(default_factory=dict[str, str])
    """The user's data that attempts use in place, as it was when the baseline was measured."""
    evaluation_seconds: float | None = None
    """How long one evaluation of the baseline took."""
    planned: int = 1
    """Attempts that the level is divided by: the limit of attempts, or what the budget and the time buy."""
    conclusion: Conclusion | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The options of the attempts' threads, without keys. See session/opening/continuation.py."""

    @property
    def ended(self) -> bool:
        """Return whether no process works on the search."""
        return self.state in ENDED
