"""Subscripts and conditions: rows, columns, splits and items of a value, and the elements that a condition picks."""

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from ml_intern.evidence.code import tables
from ml_intern.evidence.code.loading import pick_split
from ml_intern.evidence.code.recorder import Recorder
from ml_intern.evidence.code.scoring import chosen_on_test, report_choice
from ml_intern.evidence.code.values import Role, RowSet, Step, Value, merge

_NAMES_COLUMNS: Final = re.compile(r"(?i)col|feat|var|name|field|key")
_SPLITS: Final = frozenset({"train", "test", "validation", "valid", "val", "dev", "eval", "unsupervised"})
_NO_ANSWER: Final = frozenset({-1, None, "", "abstain", "unknown", "unsure", "none"})
"""The values that stand for no answer of a model."""


def column(value: Value, key: str) -> Value:
    """Return one column of rows."""
    if not value.parts or value.predicted:
        return replace(value.plain(), columns=frozenset())
    old = value.columns or {part.root for part in value.parts}
    return replace(value.plain(), columns=frozenset(f"{one}|{key}" for one in old))


def mask(value: Value, node: ast.expr, text: str = "") -> Value:
    """Return a comparison of columns as an index that selects rows."""
    if not value.is_data:
        return value
    if isinstance(node, ast.UnaryOp) and value.steps:
        last = value.steps[-1]
        role: Role = "test" if last.role == "train" else ""
        return replace(value.plain(), steps=(Step(f"~{last.name}", role),))
    return replace(value.plain(), steps=(Step(f"mask@{ast.unparse(node)}", tables.role_of(text)),))


def rows_at(value: Value, steps: tuple[Step, ...]) -> Value:
    """Return the rows that an index selects."""
    parts: set[RowSet] = set()
    for part in value.parts:
        selected = part
        for step in steps:
            selected = selected.child(step.name, step.role or selected.role)
        parts.add(selected)
    own = value.steps if value.parts else (*value.steps, *steps)
    splits = any(step.role for step in steps)
    leaks = value.leaks | {(copied, copied) for copied in value.copied if splits}
    fits = frozenset(fit for fit in value.fits if fit.kind != "join")
    return replace(value.plain(), parts=frozenset(parts), steps=own, leaks=leaks, fits=fits)


def select(value: Value, node: ast.expr, key: Value, evaluate: Callable[[ast.expr], Value]) -> Value:
    """Return `value[node]`."""
    if isinstance(node, ast.Slice):
        return _sliced(value, node)
    if key.predicted and "mask" in key.tags and value.parts and not value.predicted:
        value = value.tagged("selected")
    if isinstance(node, ast.Tuple) and node.elts:
        return _cell(value, node, evaluate)
    if isinstance(key.constant, int):
        return _item(value, key.constant)
    if key.text:
        is_split = key.text in _SPLITS and not value.columns and _has_splits(value)
        return pick_split(value, key.text) if is_split else column(value, key.text)
    if key.steps:
        return rows_at(value, key.steps)
    if key.items or "many" in key.tags or _NAMES_COLUMNS.search(ast.unparse(node)):
        return value.plain()
    return rows_at(value, (Step(f"rows@{ast.unparse(node)}", ""),))


def _has_splits(value: Value) -> bool:
    whole = all(part.root.startswith("dataset:") and not part.path for part in value.parts)
    return "opaque" in value.tags or (bool(value.parts) and whole)


def _item(value: Value, at: int) -> Value:
    if value.items and -len(value.items) <= at < len(value.items):
        return value.items[at]
    if value.element is not None:
        return value.element
    return column(value, f"item {at}") if "opaque" in value.tags else value.plain()


def _sliced(value: Value, node: ast.Slice) -> Value:
    if value.items is not None:
        return merge(value.items)
    if node.lower is None and node.upper is None:
        return value
    if not value.is_data and "index" not in value.tags:
        return value
    return rows_at(value, (Step(f"rows@{ast.unparse(node)}", ""),))


def _cell(value: Value, node: ast.Tuple, evaluate: Callable[[ast.expr], Value]) -> Value:
    """Return `value[rows, columns]`."""
    first, rest = node.elts[0], node.elts[1:]
    if isinstance(first, ast.Slice):
        rows = _sliced(value, first)
    else:
        key = evaluate(first)
        rows = rows_at(value, key.steps) if key.steps else value
    return column(rows, ",".join(ast.unparse(one) for one in rest)) if rest and rows.parts else rows


def picked_by(made: Value, condition: Value, tests: Sequence[ast.expr], recorder: Recorder) -> Value:
    """Return the element of a collection that a condition picks.

    Picking models by their scores on test rows is a choice, and so is the mean of scores that were picked so. The rows
    that a model is sure of are not all test rows.
    """
    if chosen_on_test(condition):
        return _picked_by_score(made, recorder, tests[0].lineno)
    if condition.predicted and not condition.errors and not any(_asks_for_class(one) for one in tests):
        return _selected(made)
    return made


def _picked_by_score(made: Value, recorder: Recorder, line: int) -> Value:
    if any(one.model for one in (made, *(made.items or ()))):
        report_choice(recorder, line)
    return made.tagged("picked") if made.scores else made


def _asks_for_class(test: ast.expr) -> bool:
    """Return whether a condition compares with one class, as a precision does."""
    return any(
        isinstance(node, ast.Compare)
        and isinstance(node.ops[0], ast.Eq | ast.NotEq | ast.In | ast.NotIn)
        and not (isinstance(node.ops[0], ast.NotEq) and _constant(node.comparators[0]) in _NO_ANSWER)
        for node in ast.walk(test)
    )


def _constant(node: ast.expr) -> object:
    try:
        found = ast.literal_eval(node)
    except ValueError:
        return ...
    return found if isinstance(found, str | int | float | None) else ...


def _selected(value: Value) -> Value:
    """Return a value whose rows were selected by predictions."""
    items = value.items and tuple(_selected(one) for one in value.items)
    made = replace(value, items=items)
    return made.tagged("selected") if value.parts else made
