"""Check on how many rows the metrics of an answer were computed: test rows may be left out before a metric."""

import ast
import csv
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeGuard

from ml_intern.evidence.checks.code import PART_NAMED, facts_of
from ml_intern.evidence.checks.hints import MetricReport, metric_reports
from ml_intern.evidence.checks.parsing import nodes_of
from ml_intern.evidence.checks.statistics import LABELS, row_count
from ml_intern.evidence.code.tables import role_of
from ml_intern.evidence.findings import Finding
from ml_intern.evidence.observations import Execution, Observations
from ml_intern.text.formatting import plural

_LEFT_OUT: Final = 0.95
"""The share of the test rows from which on nothing is said: a few rows without a value are often dropped."""
_OF_GROUPS: Final = re.compile(
    r"(?i)\bper[- ]\w|\beach\b|\baggregat|\bgroup|\bdaily\b|\bmonthly\b|\bweekly\b|\blevel\b"
)
_SAYS_TEST: Final = re.compile(r"(?i)\b(?:test|held[- ]?out|unseen)\b|\btest\w*\.[ct]sv\b")
_LOOPS: Final = ast.For | ast.AsyncFor | ast.While
_INLINE_LOOPS: Final = ast.ListComp | ast.GeneratorExp | ast.DictComp | ast.SetComp | ast.Lambda
_SCORES: Final = re.compile(r"score|error|report|matrix|loss|auc|accuracy")


def evaluated_row_findings(answer: str, seen: Observations, used: Sequence[Execution]) -> Iterator[Finding]:
    """Yield the test files of which the metrics saw only a part, if the answer does not say so.

    The rows are those that scikit-learn's metrics report. Nothing is said of metrics in a loop, which may go through
    the rows in batches, of a test file without labels, and of metrics on other rows by what the code says.
    """
    if PART_NAMED.search(answer) or _OF_GROUPS.search(answer) or not _SAYS_TEST.search(answer):
        return
    for run in used:
        file = _test_file(run, seen)
        reports = [one for one in metric_reports(run) if _once_on_test(one, run, seen)] if file else []
        most, total = max((one.rows for one in reports), default=0), row_count(file) if file else 0
        if file and 0 < most < _LEFT_OUT * total and not re.search(rf"\b(?:{most}|{most:,})\b", answer):
            at = next(one for one in reports if one.rows == most)
            message = f"the metric is computed on {plural(most, 'row')} of {seen.short(file)}, which has {total}"
            yield Finding("part-of-test-rows", message, seen.short(at.path), at.lines[0])


def _test_file(run: Execution, seen: Observations) -> Path | None:
    """Return the one labelled test file that a run read, and that the thread did not write."""
    if run.missed or run.remote:
        return None
    tables = [Path(path) for path in sorted(run.opened) if path.endswith((".csv", ".tsv")) and path not in seen.written]
    tests = [path for path in tables if role_of(path.stem) == "test"]
    if len(tests) != 1:
        return None
    head = _head(tests[0])
    labelled = any(LABELS.match(name) for name in head) or any(_head(one) == head for one in tables if one != tests[0])
    return tests[0] if labelled else None


def _head(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            line = file.readline(1_000_000)
    except OSError:
        return []
    return [name.strip() for name in next(csv.reader([line], delimiter="\t" if path.suffix == ".tsv" else ","), [])]


def _once_on_test(report: MetricReport, run: Execution, seen: Observations) -> bool:
    """Whether a metric was computed once, and on rows that may be test rows."""
    code = next((text for path, text in seen.sources(run) if _is_at(path, report.path, seen)), "")
    if not code or _in_loop(code, report.lines):
        return False
    facts = facts_of(code, seen.short(report.path))
    roles = {role for one in facts.metrics if one.line in report.lines for role in one.roles}
    if roles <= {"unknown"}:
        return not any("test" in one.roles for one in facts.metrics)
    return "test" in roles


def _is_at(path: str, reported: str, seen: Observations) -> bool:
    return seen.absolute(path) == reported or (path == "-c" and reported == "<string>")


def _in_loop(code: str, lines: Collection[int]) -> bool:
    """Whether a loop that may compute a metric is around one of these lines."""
    nodes = nodes_of(code)
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    loops = [node for node in nodes if isinstance(node, _LOOPS) or _scores(node, own)]
    return any(one.lineno <= line <= (one.end_lineno or one.lineno) for one in loops for line in lines)


def _scores(node: ast.AST, own: Collection[str]) -> TypeGuard[ast.expr]:
    """Whether a comprehension or a lambda calls a metric, or a function of the file."""
    calls = [one for one in ast.walk(node) if isinstance(one, ast.Call)] if isinstance(node, _INLINE_LOOPS) else []
    names = [ast.unparse(one.func).rpartition(".")[2] for one in calls]
    return any(name in own or _SCORES.search(name) for name in names)
