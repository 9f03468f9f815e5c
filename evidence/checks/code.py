"""Apply the code rules to the Python that ran, with what the evidence says about which handlers ran."""

import ast
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from ml_intern.evidence.checks.hints import handled_lines, metric_reports
from ml_intern.evidence.checks.lineage import latest_lineage
from ml_intern.evidence.checks.parsing import nodes_of
from ml_intern.evidence.checks.statistics import row_count
from ml_intern.evidence.code.check import CodeFacts, read_code
from ml_intern.evidence.code.syntax.averages import UNKNOWN, averages
from ml_intern.evidence.code.syntax.labels import best_folds, renamed_metrics
from ml_intern.evidence.code.tables import role_of
from ml_intern.evidence.findings import Finding
from ml_intern.evidence.numbers.stated import stated_in
from ml_intern.evidence.observations import Execution, Observations
from ml_intern.text.formatting import plural

_MODELS: Final = {
    r"random forests?": r"RandomForest|ExtraTrees|RFClassifier",
    r"gradient boost\w*|boosted trees": r"GradientBoost|XGB|LGBM|CatBoost|HistGradient|xgb|lgb",
    r"xgboost": r"XGB|xgb",
    r"lightgbm": r"LGBM|lgb",
    r"catboost": r"CatBoost",
    r"logistic regression": r"Logistic|SGDClassifier",
    r"linear regression": r"LinearRegression|OLS|lstsq|SGDRegressor",
    r"\bridge\b": r"Ridge",
    r"\blasso\b": r"Lasso",
    r"\bsvms?\b|support vector \w+": r"SVC|SVR|SVM",
    r"decision trees?": r"DecisionTree",
    r"naive bayes": r"NB$",
    r"\bk-?nn\b|nearest neighbou?rs?": r"KNeighbors|NearestNeighbors|BallTree|KDTree",
    r"\bmlp\b|multi-?layer perceptron": r"MLP|Sequential|Module|Linear$",
    r"gaussian process\w*": r"GaussianProcess|GPy",
}
_IN_UNITS: Final = frozenset({"rmse", "mae", "mse"})
_SCALE_NAMED: Final = re.compile(
    r"(?i)standardi[sz]|normali[sz]|scaled|\blog(?:arithm\w*|1p)?\b|rmsle|z-?score|unit-?less"
)
_AVERAGE: Final = (
    r"(macro|micro|weighted)[\s_-]*(?:averaged?[\s_-]*)?{metric}\b|"
    r"\b{metric}(?:[\s_-]*score)?[\s_-]*\(?(macro|micro|weighted)\b"
)
PART_NAMED: Final = re.compile(
    r"(?i)confiden|coverage|subset|select|abst[ae]i?n|reject|filter|exclud|dropp|remain|\btop\b|@\d|\bof the rows"
)
_MEAN: Final = re.compile(r"(?i)\b(?:mean|averaged?|cross-?validated)\b")
_PATH: Final = re.compile(r"^[\w./-]*[./][\w./-]+$")


def code_findings(answer: str, seen: Observations, used: Sequence[Execution]) -> Iterator[Finding]:
    """Yield the facts in the code of the executions that the answer reports on."""
    models: set[str] = set()
    for run in latest_lineage(used, seen):
        for path, code in seen.sources(run):
            if not path.startswith("/") or path == "-c":
                handled = (*_handled(code, run), *handled_lines(run, seen.absolute(path)))
                facts = facts_of(code, path, handled)
                models |= set(facts.models)
                yield from facts.findings
                yield from () if PART_NAMED.search(answer) else _selected(facts, seen.absolute(path), run)
                yield from () if PART_NAMED.search(answer) else _on_first_rows(answer, facts, path, run)
                yield from facts.rescaled if _gives_error_in_unit(answer) else ()
                yield from _not_analysed(facts, path)
    yield from _asked_models(answer, seen.user_text, models)
    yield from _averages(answer, seen, used)
    yield from _renamed(answer, seen, used)


def _selected(facts: CodeFacts, path: str, run: Execution) -> Iterator[Finding]:
    """Yield the metrics on rows that predictions select, unless they report that they got all test rows."""
    tests = [Path(one) for one in run.opened if role_of(Path(one).stem) == "test"]
    total = max(map(row_count, tests), default=0)
    whole = {one.lines[0] for one in metric_reports(run) if one.path == path and 0 < total <= one.rows}
    yield from (one for one in facts.selected if one.line not in whole)


def _on_first_rows(answer: str, facts: CodeFacts, path: str, run: Execution) -> Iterator[Finding]:
    """Yield the metrics on a part of a test file, if the answer does not say how many rows it has."""
    for one in facts.first_rows:
        total = row_count(Path(run.folder, one.file))
        if one.count < total and not re.search(rf"\b(?:{one.count}|{one.count:,})\b", answer):
            message = f"the metric is computed on the first {plural(one.count, 'row')} of {one.file}, which has {total}"
            yield Finding("part-of-test-rows", message, path, one.line)


def unread_code(seen: Observations) -> Iterator[str]:
    """Yield the code that ran and that no rule reads: what scripts made for exec, and scripts that are gone."""
    for run in seen.programs:
        for path, code in seen.sources(run):
            if "exec(" in code and any(_runs_made_code(node) for node in nodes_of(code)):
                yield f"{run.name}: the code that {path} made and ran with exec was not read"
        for path in seen.removed_sources(run):
            yield f"{run.name}: {path} was not read, since it was removed after it ran"


def _runs_made_code(node: ast.AST) -> bool:
    called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "exec"
    return called and isinstance(node, ast.Call) and not all(isinstance(one, ast.Constant) for one in node.args[:1])


@lru_cache(maxsize=128)
def facts_of(code: str, path: str, handled: tuple[int, ...] = ()) -> CodeFacts:
    """Return the facts of a script. Each is read once; `handled` are lines of the handlers that ran."""
    return read_code(code, path, handled=handled)


def _not_analysed(facts: CodeFacts, path: str) -> Iterator[Finding]:
    if facts.not_analysed and "Python" not in facts.not_analysed:
        yield Finding("not analysed", f"the code was not analysed: {facts.not_analysed}", path)


def _handled(code: str, run: Execution) -> tuple[int, ...]:
    """Return the lines of the handlers that must have run: no file that their `try` block names was opened."""
    if run.missed or run.remote:
        return ()
    found = []
    for node in nodes_of(code):
        if isinstance(node, ast.Try) and node.handlers:
            names = [name for statement in node.body for name in _paths(statement)]
            if names and not any(_was_opened(name, run) for name in names):
                found.append(node.handlers[0].body[0].lineno)
    return tuple(found)


def _paths(statement: ast.stmt) -> Iterator[str]:
    for node in ast.walk(statement):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _PATH.match(node.value):
            yield node.value


def _was_opened(name: str, run: Execution) -> bool:
    path = str(Path(run.folder, name))
    return (
        path in run.opened
        or any(one.startswith(f"{path}/") for one in run.opened)
        or not path.startswith(str(run.folder))
    )


def _gives_error_in_unit(answer: str) -> bool:
    """Whether an answer gives an error as one in the unit of the targets."""
    return any(one.metric in _IN_UNITS for one in stated_in(answer)) and not _SCALE_NAMED.search(answer)


def _average_named(text: str, metric: str) -> str:
    """Return the average of a metric that a text names, or "" if it names none or several."""
    found = {match[1] or match[2] for match in re.finditer(_AVERAGE.format(metric=metric), text.lower())}
    return found.pop() if len(found) == 1 else ""


def _averages(answer: str, seen: Observations, used: Sequence[Execution]) -> Iterator[Finding]:
    """Yield the metrics that the answer gives with another averaging than the code computes."""
    sources = [one for run in used for one in seen.sources(run)]
    found = [(path, *one) for path, code in sources for one in averages(nodes_of(code))]
    for one in stated_in(answer):
        wanted = _average_named(answer, one.metric) or _average_named(seen.user_text, one.metric)
        same = [row for row in found if row[1] == one.metric]
        known = {average for _, _, average, _ in same}
        if wanted and same and one.firm and not known & {UNKNOWN, wanted}:
            path, _, average, line = same[-1]
            message = f"the {one.metric} is computed with average={average!r}, and not as the {wanted} average"
            yield Finding("other-averaging", message, path, line)


def _renamed(answer: str, seen: Observations, used: Sequence[Execution]) -> Iterator[Finding]:
    """Yield the metrics of the answer that the code prints under their name and computes as another one."""
    given = {one.metric for one in stated_in(answer) if one.firm}
    for run in used:
        for path, code in seen.sources(run):
            for one in renamed_metrics(nodes_of(code)):
                if one.metric.removeprefix("balanced ") in given:
                    message = f"what is printed as {one.metric} is {one.computed}"
                    yield Finding("metric-under-another-name", message, path, one.line)
            for line in best_folds(nodes_of(code)) if given and _MEAN.search(answer) else ():
                message = "the best scores of the folds are taken, and not the mean of all"
                yield Finding("metric-under-another-name", message, path, line)


def _asked_models(answer: str, asked: str, models: set[str]) -> Iterator[Finding]:
    """Yield the kind of model that was asked for and is reported, if the code uses only other kinds."""
    if not models:
        return
    for words, classes in _MODELS.items():
        found = re.search(words, asked, re.IGNORECASE)
        if found and re.search(words, answer, re.IGNORECASE) and not any(re.search(classes, one) for one in models):
            message = f"the code uses {', '.join(sorted(models))}; a {found[0]} was asked for and is reported"
            yield Finding("other model", message, level="contradiction")
