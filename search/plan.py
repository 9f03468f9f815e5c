"""The plan of a search: the metric, the evaluator, and the limits. It is fixed at the start, except for the limits."""

import re
from dataclasses import dataclass
from typing import Final, Literal, Self

from ml_intern.configs.errors import UsageError

PolicyName = Literal["greedy", "tree", "population"]
SEED: Final = "{seed}"
"""The place of the seed in the command of an evaluator."""
_METRIC: Final = re.compile(r"(max|min)\s+([A-Za-z_][\w.@/+-]*)")


@dataclass(frozen=True)
class Objective:
    """The metric of a search and its direction. The name is as the evaluator prints it."""

    metric: str
    maximize: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse an objective such as "max macro_f1" or "min val_loss". Raises UsageError."""
        found = _METRIC.fullmatch(text.strip())
        if found is None:
            raise UsageError(f"--metric: {text!r} is not an objective", 'the form is "max NAME" or "min NAME"')
        return cls(found[2], found[1] == "max")

    def gain(self, value: float, over: float) -> float:
        """Return by how much `value` is better than `over`; negative if it is worse."""
        return value - over if self.maximize else over - value

    def __str__(self) -> str:
        return f"{'max' if self.maximize else 'min'} {self.metric}"


@dataclass(frozen=True)
class SearchLimits:
    """The limits of a search, which can change while it runs. None means no limit."""

    budget_usd: float | None = None
    seconds: float | None = None
    """Time that the search may take, without pauses."""
    attempts: int | None = None
    parallel: int = 1
    """Attempts that run at the same time."""


@dataclass(frozen=True)
class SearchPlan:
    """The metric, the evaluator and the rules of one search."""

    folder: str
    """The user's working folder."""
    objective: Objective
    evaluator: str
    """The command that prints the metric. `{seed}` in it is replaced by the seed of the evaluation."""
    task: str = ""
    """The approaches to try, in the words of the user."""
    policy: PolicyName = "greedy"
    seed: int = 0
    """Seed of the policy."""
    evaluations: int = 3
    """Evaluations of an attempt, each with another seed."""
    level: float = 0.05
    """The probability that the whole search calls any attempt better although none is."""
    locks: tuple[str, ...] = ()
    """Patterns of files that attempts must not change, beside the files that the evaluator uses."""
    holdout: str = ""
    """Test data that attempts cannot read. The winner is evaluated on it once."""
    proxy: str = ""
    """A shorter command that prints the metric of a part of the work. An attempt far below the best ends with it."""
    pool: str = ""
    """The compute pool of the settings that evaluates; "" for this machine."""
    attempt_seconds: float = 3_600.0
    """Time limit of one attempt, and of one evaluation."""
    attempt_usd: float | None = None
    """The share of the budget that an attempt gets; None without a budget."""
