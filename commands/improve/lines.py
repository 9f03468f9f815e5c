"""Searches in lines: progress, the dry run, the end, the tree."""

from collections.abc import Callable, Iterator
from typing import Final

from ml_intern.commands.output import fitted_columns
from ml_intern.search.noise import Noise
from ml_intern.search.plan import SearchLimits
from ml_intern.search.record import SearchRecord
from ml_intern.search.tree import Attempt
from ml_intern.search.views.rows import attempt_rows, metric_text
from ml_intern.text.formatting import duration, money, plural

_SPACE: Final = "\N{MIDDLE DOT}"


class SearchProgress:
    """Reports each attempt that ended in one line."""

    def __init__(self, report: Callable[[str], object]) -> None:
        self._report = report
        self._ended: set[int] | None = None
        self._state = ""

    def __call__(self, record: SearchRecord) -> None:
        """Report what is new in a search."""
        ended = {one.number for one in record.tree.attempts if not one.open}
        for number in sorted(ended - (ended if self._ended is None else self._ended)):
            if number or record.tree.baseline.score:  # a baseline without a score ends the search, which says why
                self._report(attempt_line(record.tree[number]))
        self._ended = ended
        if record.state != self._state and record.state == "paused":
            self._report("paused")
        if record.state != self._state and record.state == "concluding" and len(record.tree.accepted) > 1:
            self._report("the best attempts are run again")
        self._state = record.state


def attempt_line(attempt: Attempt) -> str:
    """Return an attempt in one line."""
    if not attempt.number:
        return f"baseline: {metric_text(attempt.score)}"
    parts = [f"attempt {attempt.number} {attempt.state}", metric_text(attempt.score), attempt.idea, attempt.why]
    return ": ".join(part for part in parts if part and part != "-")


def dry_run_lines(record: SearchRecord) -> Iterator[str]:
    """Yield the baseline, its noise, the cost of an attempt, and what the budget buys."""
    score, plan, limits = record.tree.baseline.score, record.plan, record.limits
    if score is None:
        return
    noise = Noise.of([score], record.rows)
    yield f"baseline: {plan.objective.metric} {metric_text(score)}, {plural(len(score.values), 'evaluation')}"
    each = duration(record.evaluation_seconds or 0.0)
    if not noise.sd:
        yield f"noise: none was seen; an evaluation takes {each}"
    else:
        hint = "" if "{seed}" in plan.evaluator else "; the evaluator differs from run to run: add {seed} to --eval"
        yield f"noise: standard deviation {noise.sd:.3g}; an evaluation takes {each}{hint}"
    yield f"locked: {', '.join(plan.locks) or 'no file'}"
    if limits.budget_usd is None or plan.attempt_usd is None:
        yield f"no budget; at most {plural(limits.attempts or 0, 'attempt')}"
    else:
        bought = int(limits.budget_usd / plan.attempt_usd + 1e-9)
        share, total = money(plan.attempt_usd), money(limits.budget_usd)
        yield (
            f"an attempt costs up to {share}: {total} buys at least {bought}, and at most {limits.attempts} are made"
        )
    yield f"start it with: ml-intern improve resume {record.search_id}"


def limits_line(limits: SearchLimits) -> str:
    """Return the limits of a search in words."""
    budget = "no budget" if limits.budget_usd is None else f"budget {money(limits.budget_usd)}"
    time = "" if limits.seconds is None else f", {duration(limits.seconds)}"
    return f"{budget}, at most {plural(limits.attempts or 0, 'attempt')}, {limits.parallel} at the same time{time}"


def end_lines(record: SearchRecord) -> Iterator[str]:
    """Yield how a search ended, and what to do next."""
    tried = len(record.tree.attempts) - 1
    accepted = sum(1 for one in record.tree.accepted if one.number)
    cost = "unknown" if record.spent_usd is None else money(record.spent_usd)
    head = f"search {record.search_id} {record.state}"
    yield f"{head}: {plural(tried, 'attempt')}, {accepted} accepted, {duration(record.seconds)}, cost {cost}"
    if record.why:
        yield f"it ended because {record.why}" if record.state == "finished" else record.why
    conclusion = record.conclusion
    if conclusion is None:
        return
    if conclusion.winner is None:
        yield f"no winner: {conclusion.why}"
        return
    winner = record.tree[conclusion.winner]
    yield f"winner: attempt {winner.number}, {winner.branch}: {winner.idea}"
    rerun = next((one.score for one in conclusion.finalists if one.attempt == winner.number), None)
    parts = [f"first {metric_text(winner.score)}", f"run again {metric_text(rerun)}"]
    parts += [f"hold-out {metric_text(conclusion.holdout)}"] if record.plan.holdout else []
    before = metric_text(record.tree.baseline.score)
    yield f"{record.plan.objective.metric}: {', '.join(parts)}; baseline {before}"
    yield f"review it with `ml-intern improve diff`, then apply it with `ml-intern improve apply {record.search_id}`"


def tree_lines(record: SearchRecord) -> list[str]:
    """Return the attempts as a table, each below the one that it starts from."""
    rows = [("ATTEMPT", record.plan.objective.metric.upper(), "STATE", "COST", "IDEA", "WHY")]
    rows += [(_joined(row.name), *row.cells[1:], row.attempt.why) for row in attempt_rows(record.tree)]
    return [_apart(line) for line in fitted_columns(rows)]


def _joined(name: str) -> str:
    """Return a name without spaces, since a column joins several."""
    return name.replace(" ", _SPACE)


def _apart(line: str) -> str:
    name, gap, rest = line.partition("  ")
    return f"{name.replace(_SPACE, ' ')}{gap}{rest}"
