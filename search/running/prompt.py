"""The prompt of an attempt: its task, and the tree as a short table. Never the hold-out."""

from collections.abc import Iterator
from string import Template
from typing import Final

from ml_intern.configs.paths import PROMPTS
from ml_intern.search.plan import SearchPlan
from ml_intern.search.tree import Attempt, Kind, Score, SearchTree
from ml_intern.text.formatting import duration, listed, money

AGAIN: Final = (
    "The machine failed while you worked, and your folder has no change. Make your change now, and begin your final "
    "answer with one line that says its idea."
)
"""The message for a proposer that was cut off and then ended without a change."""
MAX_ROWS: Final = 40
"""Attempts in the table; the accepted ones and the latest others."""
_MAX_CELL: Final = 160
_KINDS: Final[dict[Kind, str]] = {
    "draft": "Draft: a new approach to the task, from the baseline.",
    "improve": "Improve: one change to attempt {0}, whose files you have.",
    "debug": "Debug: attempt {0}, whose files you have, failed: {why}. Repair the cause, and change nothing else.",
    "combine": "Combine: you have the files of attempt {0}. Add the change of attempt {1}, which overlaps: {idea}",
}  # fmt: skip


def prompt_of(plan: SearchPlan, tree: SearchTree, attempt: Attempt, share: float | None) -> str:
    """Return the prompt of an attempt."""
    last = tree[attempt.parents[-1]]
    kind = _KINDS[attempt.kind].format(*attempt.parents, why=last.why, idea=last.idea)
    values = {
        "number": attempt.number, "metric": plan.objective.metric,
        "direction": "higher" if plan.objective.maximize else "lower", "kind": kind,
        "task": f"The user asks for: {plan.task}\n" if plan.task else "", "evaluator": plan.evaluator,
        "locks": listed(plan.locks, 12) if plan.locks else "none",
        "share": "not limited" if share is None else money(share), "time": duration(plan.attempt_seconds),
        "tree": "\n".join(table_of(tree, attempt.number)),
    }  # fmt: skip
    return Template((PROMPTS / "improve.md").read_text(encoding="utf-8")).substitute(values)


def table_of(tree: SearchTree, without: int) -> Iterator[str]:
    """Yield the attempts as rows of a Markdown table."""
    ended = [one for one in tree.attempts if one.number != without]
    latest = {one.number for one in ended[-MAX_ROWS:]} | {one.number for one in tree.accepted[-MAX_ROWS:]}
    yield "| attempt | from | idea | change | metric | cost | state |"
    yield "|---|---|---|---|---|---|---|"
    for one in ended:
        if one.number in latest:
            parents = ", ".join(map(str, one.parents)) or "-"
            cells = (
                str(one.number),
                parents,
                one.idea or one.kind,
                one.change,
                _metric(one.score),
                _cost(one),
                _why(one),
            )
            yield f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())[:_MAX_CELL] or "-"


def _metric(score: Score | None) -> str:
    return "" if score is None else f"{score.mean:.4g} ({score.low:.4g} to {score.high:.4g})"


def _cost(attempt: Attempt) -> str:
    return "unknown" if attempt.cost_usd is None else money(attempt.cost_usd)


def _why(attempt: Attempt) -> str:
    return f"{attempt.state}: {attempt.why}" if attempt.why else attempt.state
