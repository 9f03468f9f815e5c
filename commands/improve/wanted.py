"""The options of `improve` that no other command has."""

from dataclasses import dataclass
from typing import Annotated, Final, get_args

from ml_intern.commands.options import Word, seconds
from ml_intern.configs.errors import UsageError
from ml_intern.search.plan import Objective, PolicyName, SearchLimits, SearchPlan
from ml_intern.search.running.driver import MAX_ATTEMPTS

DEFAULT_BUDGET_USD: Final = 10.0
SHARES: Final = 10
"""Attempts that a budget buys unless --attempt-usd says otherwise."""


@dataclass(frozen=True)
class SearchOptions:
    """The options of a search."""

    metric: Annotated[str, Word("--metric", "OBJECTIVE", '"max NAME" or "min NAME", as the evaluator prints it')] = ""
    evaluator: Annotated[
        str, Word("--eval", "COMMAND", "prints the metric; {seed} in it is replaced by the seed of the evaluation")
    ] = ""
    budget: Annotated[
        float, Word("--budget", "X", f"budget in US dollars (default {DEFAULT_BUDGET_USD:g}, -1: no limit)")
    ] = DEFAULT_BUDGET_USD
    parallel: Annotated[int, Word("--parallel", "N", "attempts at the same time (default 1)")] = 1
    attempts: Annotated[int, Word("--attempts", "N", f"attempts at most (default {MAX_ATTEMPTS})")] = MAX_ATTEMPTS
    attempt_usd: Annotated[
        float | None, Word("--attempt-usd", "X", "share of the budget for each attempt (default: a tenth)")
    ] = None
    attempt_timeout: Annotated[
        str, Word("--attempt-timeout", "DURATION", "time limit of an attempt, and of an evaluation (default 1h)")
    ] = "1h"
    policy: Annotated[str, Word("--policy", "NAME", "greedy (default), tree or population")] = "greedy"
    seed: Annotated[int, Word("--seed", "N", "seed of the policy")] = 0
    evaluations: Annotated[
        int, Word("--evaluations", "N", "first evaluations of an attempt, each with another seed (default 3)")
    ] = 3
    level: Annotated[
        float, Word("--level", "P", "probability that the search calls any attempt wrongly better (default 0.05)")
    ] = 0.05
    proxy: Annotated[
        str, Word("--proxy", "COMMAND", "a shorter evaluator; an attempt that is far below in it ends early")
    ] = ""
    pool: Annotated[
        str, Word("--pool", "NAME", "evaluate on the machines of this compute pool, without the sandbox")
    ] = ""
    dry_run: Annotated[bool, Word("--dry-run", "", "only measure the baseline, its noise and its time")] = False

    def plan(self, folder: str, budget: float | None) -> SearchPlan:
        """Return the plan of the search. Raises UsageError."""
        if not self.metric or not self.evaluator:
            remedy = 'add --metric "max NAME" --eval "python eval.py"'
            raise UsageError("improve needs a metric and an evaluator", remedy)
        if not 0 < self.level < 1:
            raise UsageError(f"--level: {self.level:g} is not a probability between 0 and 1")
        _positive("--evaluations", self.evaluations)
        share = self.attempt_usd if self.attempt_usd is not None else (None if budget is None else budget / SHARES)
        _positive("--attempt-usd", 1 if share is None else share)
        return SearchPlan(
            folder=folder, objective=Objective.parse(self.metric), evaluator=self.evaluator, policy=self._policy(),
            seed=self.seed, evaluations=self.evaluations, level=self.level, proxy=self.proxy,
            pool=self.pool,
            attempt_seconds=seconds(self.attempt_timeout), attempt_usd=share,
        )  # fmt: skip

    def _policy(self) -> PolicyName:
        for name in get_args(PolicyName):
            if name == self.policy:
                found: PolicyName = name
                return found
        raise UsageError(f"--policy: {self.policy!r} is not a policy", f"use {', '.join(get_args(PolicyName))}")

    def limits(self, timeout: str | None) -> SearchLimits:
        """Return the limits of the search. Raises UsageError."""
        _positive("--parallel", self.parallel)
        _positive("--attempts", self.attempts)
        limit = seconds(timeout) if timeout else None
        return SearchLimits(checked_budget(self.budget), limit, self.attempts, self.parallel)


def checked_budget(budget: float) -> float | None:
    """Return a budget in US dollars, None for no limit. Raises UsageError."""
    if budget == -1:
        return None
    if not budget > 0:
        raise UsageError(f"--budget: {budget:g} is not a positive amount", "give US dollars, or -1 for no limit")
    return budget


def _positive(name: str, value: float) -> None:
    if not value > 0:
        raise UsageError(f"{name}: {value:g} is not a positive number")
