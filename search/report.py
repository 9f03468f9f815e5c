"""The report of a search: what it found, what was tried, what it cost. As Markdown, as HTML, and for a model card."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from ml_intern.outbound.exporting.html_chart import chart
from ml_intern.outbound.exporting.html_code import safe
from ml_intern.outbound.exporting.html_message import markdown_html
from ml_intern.outbound.exporting.html_page import page_head
from ml_intern.outbound.exporting.markdown import code_block, code_span, local_time
from ml_intern.search.noise import Noise
from ml_intern.search.plan import SEED
from ml_intern.search.record import Contribution, SearchRecord
from ml_intern.search.tree import Attempt, Score
from ml_intern.search.views.rows import STATE_WORDS, attempt_rows, metric_text, progress
from ml_intern.text.formatting import duration, money, plural, table_cell
from ml_intern.text.visible import visible

_CURVE: Final = "Metric over attempts"
_STATES: Final = {
    "measuring": "the baseline is measured",
    "running": "running",
    "paused": "paused",
    "concluding": "the best attempts are run again",
    "finished": "finished",
    "stopped": "stopped",
    "failed": "failed",
}
Rows = Sequence[Sequence[str]]


@dataclass(frozen=True)
class SearchReport:
    """The report of a search: a title, facts by name, and sections of Markdown by heading."""

    title: str
    facts: Sequence[tuple[str, str]]
    sections: Sequence[tuple[str, str]]
    curve: str
    """The metric over the attempts as SVG."""
    card: str
    """The section for a model card; "" without a winner."""

    def markdown(self) -> str:
        """Return the report as a Markdown document; hidden characters are visible."""
        return visible(f"# {self.title}\n\n{self._facts()}{self._sections(self.sections)}")

    def html(self) -> str:
        """Return the report as one page without scripts and without anything to load."""
        parts = [page_head(self.title), f"<main><h1>{safe(self.title)}</h1>", markdown_html(self._facts())]
        for heading, text in self.sections:
            parts.append(markdown_html(f"## {heading}"))
            parts += [self.curve] if heading == _CURVE else []
            parts.append(markdown_html(text))
        return "\n".join([*parts, "</main>\n</body>\n</html>\n"])

    def _facts(self) -> str:
        return "".join(f"- {name}: {value}\n" for name, value in self.facts)

    @staticmethod
    def _sections(sections: Sequence[tuple[str, str]]) -> str:
        return "".join(f"\n## {heading}\n\n{text.rstrip()}\n" for heading, text in sections)


def report_of(search: SearchRecord) -> SearchReport:
    """Return the report of a search as it is now, also of one that has not ended."""
    steps, dots = progress(search.tree)
    sections = [
        ("Result", _result(search)),
        ("Run again", _finalists(search)),
        ("What each change contributes", _contributions(search)),
        (_CURVE, _best_so_far(search)),
        ("Tried in vain", _in_vain(search)),
        ("All attempts", _all_attempts(search)),
        ("Cost", _costs(search)),
        ("Changes of the winner", _diff(search)),
        ("Limits of this report", "\n".join(f"- {one}" for one in _limits(search))),
    ]
    return SearchReport(
        f"Search {search.search_id}: {search.plan.objective}",
        [(name, text) for name, text in _facts(search) if text],
        [(heading, text) for heading, text in sections if text],
        chart(search.plan.objective.metric, steps, dots, axis="attempt"),
        _card(search),
    )


def _facts(search: SearchRecord) -> Iterator[tuple[str, str]]:
    plan, limits = search.plan, search.limits
    tried = len(search.tree.attempts[1:])
    budget = "" if limits.budget_usd is None else f" of {money(limits.budget_usd)}"
    yield "state", _STATES[search.state] + (f": {search.why}" if search.why else "")
    yield "folder", code_span(PurePosixPath(plan.folder).name or "/")
    yield "task", table_cell(plan.task)
    yield "evaluator", code_span(plan.evaluator)
    yield "hold-out", code_span(plan.holdout) if plan.holdout else ""
    yield "policy", f"{plan.policy}, seed {plan.seed}"
    yield "started", local_time(search.started)
    yield "ran for", duration(search.seconds)
    yield "attempts", f"{plural(tried, 'attempt')}, up to {limits.parallel} at the same time"
    yield "cost", f"{money(search.spent_usd)}{budget}"
    yield "level", f"{plan.level:g} for the whole search, divided by {plural(search.planned, 'attempt')}"
    yield "noise", _noise_text(_noise(search))


def _noise(search: SearchRecord) -> Noise:
    return Noise.of((one.score for one in search.tree.attempts if one.score), search.rows)


def _noise_text(noise: Noise) -> str:
    rows = f", on {plural(noise.rows, 'row')}" if noise.rows else ""
    if not noise.degrees:
        return f"unknown{rows}"
    return (
        f"standard deviation {noise.sd:.3g} of one evaluation{rows}" if noise.sd else f"none between evaluations{rows}"
    )


def _result(search: SearchRecord) -> str:
    end = search.conclusion
    if end is None or end.winner is None:
        best = search.tree.best
        why = end.why if end else "the search has not been concluded" if not search.ended else search.why
        so_far = f" The best attempt so far is {best.number}, {metric_text(best.score)}." if best else ""
        return f"No winner: {why or 'no attempt is better than the baseline'}.{so_far}"
    winner = search.tree[end.winner]
    rerun = {one.attempt: one.score for one in end.finalists}
    compared = [
        ("validation", search.tree.baseline.score, winner.score),
        (
            f"run again{' with new seeds' if SEED in search.plan.evaluator else ''}",
            end.baseline,
            rerun.get(winner.number),
        ),
        ("hold-out", end.holdout_baseline, end.holdout),
    ]
    rows = [
        (name, metric_text(baseline) or "-", metric_text(score) or "-", _gain(search, score, baseline))
        for name, baseline, score in compared
        if baseline is not None or score is not None
    ]
    named = f" on the branch {code_span(winner.branch)}" if winner.branch else ""
    why = f" {_sentence(end.why)}" if end.why else ""
    table = _table(("", "baseline", f"attempt {winner.number}", "gain"), rows)
    return (
        f"Attempt {winner.number} is the winner{named}: {table_cell(winner.idea) or 'no idea given'}.{why}\n\n{table}"
    )


def _gain(search: SearchRecord, score: Score | None, over: Score | None) -> str:
    if score is None or over is None:
        return "-"
    return f"{search.plan.objective.gain(score.mean, over.mean):+.4g}"


def _finalists(search: SearchRecord) -> str:
    end = search.conclusion
    if end is None or not end.finalists:
        return ""
    rows = []
    for one in end.finalists:
        attempt = search.tree[one.attempt]
        again = metric_text(one.score) or "failed"
        rows.append((str(one.attempt), attempt.idea or attempt.kind, metric_text(attempt.score), again, one.why))
    return _table(("attempt", "idea", "validation", "run again", "note"), rows)


def _contributions(search: SearchRecord) -> str:
    end = search.conclusion
    if end is None or end.winner is None or not end.contributions:
        return ""
    rerun = {one.attempt: one.score for one in end.finalists}.get(end.winner) or search.tree[end.winner].score
    rows = [_contribution(search, one, rerun) for one in end.contributions]
    about = "The winner without one change at a time. The contribution is what the metric loses without it."
    return f"{about}\n\n{_table(('attempt', 'change', 'without it', 'contribution', 'note'), rows)}"


def _contribution(search: SearchRecord, one: Contribution, winner: Score | None) -> tuple[str, ...]:
    attempt = search.tree[one.attempt]
    gain = _gain(search, winner, one.without)
    return (str(one.attempt), attempt.idea or attempt.change, metric_text(one.without) or "-", gain, one.why)


def _best_so_far(search: SearchRecord) -> str:
    best: Attempt | None = None
    rows = []
    for one in search.tree.accepted:
        step = "" if best is None else _gain(search, one.score, best.score)
        if one.score and not step.startswith("-"):
            rows.append((str(one.number), one.idea or one.kind, metric_text(one.score), step))
            best = one
    return _table(("attempt", "idea", "best so far", "step"), rows) if rows else ""


def _in_vain(search: SearchRecord) -> str:
    rows = [
        (str(one.number), one.idea or one.kind, metric_text(one.score), STATE_WORDS[one.state], one.why)
        for one in search.tree.attempts
        if one.state in ("discarded", "crashed", "refused", "stopped")
    ]
    return _table(("attempt", "idea", "metric", "state", "reason"), rows) if rows else ""


def _all_attempts(search: SearchRecord) -> str:
    rows = [row.cells for row in attempt_rows(search.tree)]
    widths = [max((len(row[at]) for row in rows), default=0) for at in range(4)]
    lines = (
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), " ".join(row[4].split())])
        for row in rows
    )
    return code_block("\n".join(line.rstrip() for line in lines), "text")


def _costs(search: SearchRecord) -> str:
    rows = []
    for state, word in STATE_WORDS.items():
        some = [one for one in search.tree.attempts[1:] if one.state == state]
        if some:
            rows.append((word, str(len(some)), money(_total(some))))
    attempts = search.tree.attempts[1:]
    rows.append(("all attempts", str(len(attempts)), money(_total(attempts))))
    return _table(("state", "attempts", "cost"), rows)


def _total(attempts: Sequence[Attempt]) -> float | None:
    costs = [one.cost_usd for one in attempts]
    return None if None in costs else sum(cost or 0.0 for cost in costs)


def _diff(search: SearchRecord) -> str:
    end = search.conclusion
    return code_block(end.diff, "diff") if end and end.diff.strip() else ""


def _limits(search: SearchRecord) -> Iterator[str]:
    """Yield what the report does not show."""
    noise = _noise(search)
    if noise.degrees and not noise.sd and not noise.rows:
        yield (
            "Gains were not tested against noise: the evaluator gives the same value for each seed and prints no rows. "
            "Use `{seed}` in it, or let it print `n`, `rows` or `predictions`."
        )
    if not search.plan.holdout:
        yield "There was no hold-out: the gain on data that the search did not use is unknown."
    if search.spent_usd is None:
        yield "The price of some model calls is unknown, so the cost is not complete."
    if search.tree.running:
        yield f"The search has not ended: {plural(len(search.tree.running), 'attempt')} without a result."
    yield "The file is not signed: it shows that its numbers agree with each other, not who wrote it."


def _card(search: SearchRecord) -> str:
    """Return the section for a model card."""
    end = search.conclusion
    if end is None or end.winner is None:
        return ""
    attempts = len(search.tree.attempts[1:])
    text = (
        f"ml-intern chose this model out of {plural(attempts, 'attempt')} by `{search.plan.objective.metric}`. "
        f"An attempt counted as better at a level of {search.plan.level:g} for the whole search."
    )
    result = _result(search).partition("\n\n")[2]
    return visible(f"## Search\n\n{text}\n\n{result}\n")


def _sentence(text: str) -> str:
    text = table_cell(text).rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


def _table(names: Sequence[str], rows: Rows) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(table_cell(cell) for cell in line)} |" for line in lines)
