"""Calls that compute a metric, and calls that choose by one."""

import ast
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from ml_intern.evidence.code import tables
from ml_intern.evidence.code.loading import EvaluatedCall
from ml_intern.evidence.code.recorder import Recorder
from ml_intern.evidence.code.values import Table, Value, merge
from ml_intern.evidence.findings import Finding

_SPREADS: Final = frozenset({"the standard deviation", "the nanstd"})
_RESCALED: Final = {"scaled": "standardised or scaled", "logarithm": "the logarithm of the"}


def metric(call: EvaluatedCall) -> Value:
    """Evaluate a metric of targets and predictions, in either order."""
    pair = [one for one in (*call.args[:2], *call.keywords.values()) if one.is_data or one.predicted]
    made = next((one for one in reversed(pair) if one.predicted), pair[1] if len(pair) > 1 else Value())
    targets = next((one for one in pair if one is not made), Value())
    if call.name in tables.RANKED and "hard" in made.tags:
        message = f"{call.name} ranks hard labels; it needs scores or probabilities"
        call.recorder.add("auc-of-hard-labels", call.line, message)
    check_labels(call.recorder, call.line, targets, made)
    check_changed(call.recorder, call.line, targets)
    if call.name in tables.IN_UNITS:
        check_units(call.recorder, call.line, targets)
    return scored(call.recorder, call.name, call.line, (targets, made))


def scored(recorder: Recorder, name: str, line: int, pair: tuple[Value, Value]) -> Value:
    """Record a metric of targets and predictions, and return its value."""
    targets, made = pair
    if not (made.predicted or (made.parts and targets.parts)):
        return Value(fits=made.fits | targets.fits)
    recorder.evaluated(name, line, targets, made)
    rows = (made.parts or targets.parts) if made.predicted else made.parts | targets.parts
    return Value(fits=made.fits | targets.fits, scores=rows, leaks=made.leaks | targets.leaks)


def check_labels(recorder: Recorder, line: int, targets: Value, made: Value) -> None:
    """Report predictions that contain the targets they are compared with."""
    shared = targets.columns & made.columns
    same_rows = any(one == other for one in targets.parts for other in made.parts)
    if shared and same_rows and not targets.predicted and not made.errors:
        message = "the predictions are computed from the labels they are compared with"
        recorder.add("labels-in-predictions", line, message, level="contradiction")


def check_changed(recorder: Recorder, line: int, targets: Value) -> None:
    """Report targets of test rows that predictions changed, and record test rows that predictions select."""
    if not any(part.role == "test" for part in targets.parts):
        return
    if "relabelled" in targets.tags:
        message = "the labels of the test rows are changed by predictions before the metric"
        recorder.add("labels-changed", line, message, level="contradiction")
    elif "selected" in targets.tags:
        message = "the metric is computed on the test rows that predictions select, and not on all"
        recorder.selected[line] = Finding("test-rows-selected", message, recorder.path, line)


def is_spread(value: Value) -> bool:
    """Return whether a value is a standard deviation of data."""
    return any(fit.kind == "statistic" and fit.name in _SPREADS for fit in value.fits)


def check_units(recorder: Recorder, line: int, targets: Value) -> None:
    """Record an error on test rows whose targets are not in their own unit."""
    if any(part.role == "test" for part in targets.parts) and (found := targets.tags & _RESCALED.keys()):
        message = f"the error is computed on {_RESCALED[min(found)]} targets, and not in their unit"
        recorder.rescaled[line] = Finding("rescaled-targets", message, recorder.path, line)


def compare(recorder: Recorder, line: int, one: Value, other: Value) -> Value:
    """Evaluate a comparison or a difference of predictions with targets."""
    made, targets = (one, other) if one.predicted else (other, one)
    both = merge([one, other])
    if not made.predicted or targets.predicted or not (targets.parts or targets.columns):
        return replace(both, tags=both.tags | {"hard"}) if made.predicted else both
    check_labels(recorder, line, targets, made)
    check_changed(recorder, line, targets)
    if not made.errors:
        check_units(recorder, line, targets)
    return replace(both, errors=made.parts or targets.parts, predicted=True)


def aggregate(call: EvaluatedCall) -> Value:
    """Evaluate a mean or a sum: of errors it is a metric, of data a statistic."""
    value = call.everything
    if "picked" in value.tags and call.name in ("mean", "average", "fmean", "nanmean"):
        report_choice(call.recorder, call.line)
    if value.errors and not value.scores:
        check_changed(call.recorder, call.line, replace(value, parts=value.errors))
        call.recorder.evaluated(call.name, call.line, Value(), replace(value, parts=value.errors))
        return Value(fits=value.fits, scores=value.errors, leaks=value.leaks)
    return Value(fits=value.fits, scores=value.scores, leaks=value.leaks, parts=value.parts).tagged(*value.tags)


def cross_validate(call: EvaluatedCall) -> Value:
    """Evaluate `cross_val_score(model, X, y)`: no row may have been used before the folds are made."""
    rows, estimator = call.argument(1, "X") or Value(), call.argument(0, "estimator") or Value()
    if estimator.model:
        call.recorder.models.setdefault(estimator.model.final, call.line)
    for fit in sorted(rows.fits, key=lambda one: one.line):
        if fit.kind == "select" and any(one.holds(part) for one in fit.parts for part in rows.parts):
            message = f"{fit.name} selects on all rows before the cross-validation at line {call.line}"
            call.recorder.add("fit-before-split", fit.line, message)
    grouped = "groups" in call.keywords or "Group" in _cv_name(call)
    call.recorder.cross_validated(rows, call.line, grouped=grouped)
    for copied in sorted(rows.copied):
        message = f"rows are copied at line {copied} before the cross-validation at line {call.line}"
        call.recorder.add("copies-before-split", call.line, message, level="contradiction")
    if call.name == "cross_val_predict":
        return replace(rows.plain(), predicted=True, columns=frozenset())
    roles = frozenset(one.role for one in rows.parts)
    return Value(scores=rows.parts).tagged("cross-validated") if roles else Value()


def _cv_name(call: EvaluatedCall) -> str:
    splitter = call.argument(3, "cv")
    return splitter.model.name if splitter is not None and splitter.model else ""


def choose(call: EvaluatedCall) -> Value | None:
    """Report a maximum or minimum over scores on test rows: it is a choice."""
    key = call.keywords.get("key")
    candidates = [*([call.receiver] if call.receiver is not None else []), *call.args]
    results = [one for one in (call.apply(key, [_element(candidates)]),) if one] if key is not None else candidates
    if key is not None and key.thing is None:
        results = candidates  # max(scores, key=scores.get)
    elements = [_compared(one, from_key=key is not None and key.thing is not None) for one in results]
    if len(elements) == 1 and not _varies(results[0], from_key=key is not None):
        return None
    if len(elements) > 1 and not call.recorder.in_loop:
        return None
    on_test = [one for one in elements if chosen_on_test(one)]
    if on_test and call.name in tables.ORDERS:
        return replace(merge(on_test), element=merge(on_test)).tagged("ordered")
    if on_test:
        _note_extreme(call)
        report_choice(call.recorder, call.line)
    return None


def _note_extreme(call: EvaluatedCall) -> None:
    owner = call.node.args[:1] or ([call.node.func.value] if isinstance(call.node.func, ast.Attribute) else [])
    if owner and call.name in ("max", "min"):
        call.recorder.extremes.setdefault(ast.unparse(owner[0]), {})[call.name] = call.line


def part_taken(recorder: Recorder, value: Value, line: int) -> None:
    """Report a part of scores on test rows that are in their order: it is a choice."""
    if "ordered" in value.tags:
        report_choice(recorder, line)


def _element(values: list[Value]) -> Value:
    first = values[0] if values else Value()
    return first.element or (merge(first.items) if first.items else Value())


def _compared(value: Value, *, from_key: bool) -> Value:
    """Return what decides the order: the first item of tuples."""
    inner = value if from_key else value.element or value
    if isinstance(inner.thing, Table) and inner.thing.entries:
        inner = merge(inner.thing.entries.values())
    return inner.items[0] if inner.items else inner


def _varies(value: Value, *, from_key: bool) -> bool:
    """Return whether a value holds one score for each of several settings."""
    is_table = isinstance(value.thing, Table) and bool(value.thing.entries)
    return from_key or value.element is not None or "many" in value.tags or is_table or "curve" in value.tags


def chosen_on_test(value: Value) -> bool:
    """Return whether a score was computed on test rows alone."""
    return bool(value.scores) and all(one.role == "test" for one in value.scores)


def report_choice(recorder: Recorder, line: int) -> None:
    """Report a choice by scores on test rows."""
    recorder.add("chosen-on-test", line, "the best of several is chosen by scores on the test split")


def curve(call: EvaluatedCall) -> Value:
    """Evaluate `roc_curve` and `precision_recall_curve`: scores for each threshold."""
    value = metric(call).tagged("curve")
    return replace(value, items=(value, value, value))


def optimise(call: EvaluatedCall) -> Value | None:
    """Evaluate `study.optimize(objective)`, `minimize(f)` and `fmin(f)`: the function returns what is optimised."""
    function = call.argument(0, "func", "fn", "fun", "objective")
    result = call.apply(function, [Value()]) if function is not None else None
    if result is not None and chosen_on_test(result.items[0] if result.items else result):
        report_choice(call.recorder, call.line)
    return None


SCORE_CALLS: Final[Mapping[str, Callable[[EvaluatedCall], Value | None]]] = {
    **dict.fromkeys(tables.METRICS, metric),
    **dict.fromkeys(tables.CROSS_VALIDATIONS, cross_validate),
    **dict.fromkeys(("roc_curve", "precision_recall_curve"), curve),
    **dict.fromkeys(("optimize", "minimize_scalar", "fmin", "minimize", "differential_evolution"), optimise),
}
