"""The tree of a search as plain values: its attempts, their scores, and the questions that policies ask about it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Literal

from ml_intern.search.plan import Objective

Kind = Literal["baseline", "draft", "improve", "debug", "combine"]
"""baseline: the user's own state; draft: a new approach; improve: one change to the parent; debug: the repair of a
crash; combine: the changes of two parents."""

State = Literal["waiting", "working", "evaluating", "accepted", "discarded", "crashed", "refused", "stopped"]
"""waiting, working and evaluating are open. accepted: better than its parent; discarded: not better beyond the noise,
or far below in the proxy; crashed: no valid metric; refused: changed a locked file or was contradicted; stopped: by
a limit."""

OPEN: Final = ("waiting", "working", "evaluating")


@dataclass(frozen=True)
class Score:
    """The metric of an attempt: one value for each evaluation, and a 95 % interval of their mean."""

    values: tuple[float, ...]
    seeds: tuple[int, ...]
    """The seeds of the evaluations, in the order of the values."""
    low: float
    high: float
    predictions: str = ""
    """Digest of the saved predictions for each row, if the evaluator wrote them; "" if not."""

    @property
    def mean(self) -> float:
        """Return the mean of the values."""
        return sum(self.values) / len(self.values)


@dataclass(frozen=True)
class Attempt:
    """One attempt. Times in seconds since the epoch."""

    number: int
    """0 is the baseline."""
    kind: Kind
    state: State
    parents: tuple[int, ...] = ()
    """The attempts that it starts from: two for `combine`, none for the baseline."""
    idea: str = ""
    """The idea in a sentence."""
    change: str = ""
    """Its change in one line."""
    score: Score | None = None
    proxy: float | None = None
    """The value of its short run, if the search has one."""
    why: str = ""
    """The reason for the state, as a fact."""
    near: bool = False
    """Discarded as a near miss: it looked better twice, but not beyond the noise."""
    thread_id: str = ""
    branch: str = ""
    commit: str = ""
    """The commit of its result."""
    cost_usd: float | None = 0.0
    """None: unknown."""
    tries: int = 0
    """How often it was started; a failure of the machine starts it again."""
    created: float = 0.0
    finished: float | None = None

    @property
    def open(self) -> bool:
        """Return whether the attempt has not ended."""
        return self.state in OPEN


@dataclass(frozen=True)
class SearchTree:
    """The attempts of a search in the order of their numbers."""

    objective: Objective
    attempts: tuple[Attempt, ...] = field(default=())

    def __getitem__(self, number: int) -> Attempt:
        return self.attempts[number]

    @property
    def baseline(self) -> Attempt:
        """Return the baseline."""
        return self.attempts[0]

    @cached_property
    def accepted(self) -> Sequence[Attempt]:
        """Return the baseline, if it has a score, and the accepted attempts."""
        return [one for one in self.attempts if one.state == "accepted" and one.score is not None]

    @property
    def best(self) -> Attempt | None:
        """Return the best accepted attempt; the earlier one of two equal ones. None without any score."""
        return self.best_of(self.accepted)

    def best_of(self, among: Sequence[Attempt]) -> Attempt | None:
        """Return the best of some attempts; the earlier one of two equal ones. None without any score."""
        scored = [(self.objective.gain(one.score.mean, 0.0), -one.number, one) for one in among if one.score]
        return max(scored, default=(0.0, 0, None))[2]

    @property
    def running(self) -> Sequence[Attempt]:
        """Return the attempts that have not ended."""
        return [one for one in self.attempts if one.open]

    def children(self, number: int) -> Sequence[Attempt]:
        """Return the attempts that start from this one."""
        return [one for one in self.attempts if number in one.parents]

    def line(self, number: int) -> Iterator[Attempt]:
        """Yield an attempt and the first parents before it, up to the baseline."""
        yield self[number]
        while self[number].parents:
            number = self[number].parents[0]
            yield self[number]

    def compared_with(self, number: int) -> Attempt | None:
        """Return the attempt that this one has to beat: the best of its parents. None without a score.

        For a parent without a score, such as a crash, it is the one before. A change that was dropped is skipped,
        too; a draft that is not better is an approach of its own, which its children have to beat.
        """
        sign = 1 if self.objective.maximize else -1
        lines = [[one for one in self.line(parent) if self._is_start(one)] for parent in self[number].parents]
        found = [line[0] for line in lines if line]
        return max(found, key=lambda one: sign * one.score.mean if one.score else 0.0, default=None)

    def _is_start(self, one: Attempt) -> bool:
        start = one.state == "accepted" or self.approach(one.number) == one.number
        return start and one.score is not None

    def approach(self, number: int) -> int:
        """Return the attempt that began the approach: the latest draft before or at this one, repairs of it included,
        else the baseline.
        """
        repair = 0
        for one in self.line(number):
            if one.kind == "draft":
                return repair or one.number
            repair = (repair or one.number) if one.kind == "debug" else 0
        return 0

    def debugs_before(self, number: int) -> int:
        """Return how many repairs in a row lead to this attempt, itself included."""
        count = 0
        for one in self.line(number):
            if one.kind != "debug":
                break
            count += 1
        return count
