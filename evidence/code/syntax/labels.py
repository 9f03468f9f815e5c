"""Metrics that a script prints or saves under the name of another metric."""

import ast
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from ml_intern.evidence.numbers.names import metrics_in, plain

_CALLS: Final[Mapping[str, tuple[str, ...]]] = {
    "accuracy_score": ("accuracy", "score", "f1"),
    "top_k_accuracy_score": ("top-k accuracy", "recall", "score"),
    "balanced_accuracy_score": ("balanced accuracy", "recall", "score"),
    "f1_score": ("f1", "score", "dice", "accuracy"),
    "precision_score": ("precision", "score"),
    "recall_score": ("recall", "specificity", "balanced accuracy", "score"),
    "roc_auc_score": ("auc", "score"),
    "average_precision_score": ("ap", "auc", "precision", "score"),
    "mean_squared_error": ("mse", "loss", "error", "score", "brier"),
    "root_mean_squared_error": ("rmse", "error", "score"),
    "mean_absolute_error": ("mae", "error", "score", "loss"),
    "median_absolute_error": ("error", "score"),
    "r2_score": ("r2", "score"),
    "log_loss": ("loss", "score", "perplexity"),
    "matthews_corrcoef": ("mcc", "correlation", "score"),
    "cohen_kappa_score": ("kappa", "score"),
}
"""Functions of scikit-learn, with the metrics under whose names they may be given."""
_KINDS: Final = {"balanced": re.compile(r"balanced"), "top-k": re.compile(r"\btop\b|\btop-?[\dk]|@")}
"""Kinds of accuracy, by the words of their labels."""
_EQUAL: Final = ("accuracy", "score")
_WRAPPERS: Final = frozenset({"round", "float", "str", "item", "around"})
_MIXED: Final = frozenset({"f1_score", "accuracy_score"})
"""With average="micro", or "weighted" for recall, these are equal."""


class Renamed(NamedTuple):
    """A metric given under the name of another: the name, what is computed, and the line."""

    metric: str
    computed: str
    line: int


def renamed_metrics(nodes: Sequence[ast.AST]) -> Iterator[Renamed]:
    """Yield the metrics whose label names another one. Silent where constants do not decide the label."""
    assigned = _assigned(nodes)
    for node in nodes:
        for label, value in _labelled(node):
            allowed, computed = _computed(_inner(value, assigned))
            named = _named(label)
            if allowed and named and named not in allowed:
                yield Renamed(named, computed, value.lineno)


def best_folds(nodes: Sequence[ast.AST]) -> Iterator[int]:
    """Yield the lines that take the best score of a cross-validation, if nothing takes the mean of the scores."""
    scores = {name for name, value in _assigned(nodes).items() if _is_validation(value)}
    taken = [(name, _taken_from(node), node) for node in nodes for name in ("max", "min", "mean", "average")
             if isinstance(node, ast.Call) and _last(node.func) == name]  # fmt: skip
    averaged = {source for name, source, _ in taken if name in ("mean", "average")}
    yield from (node.lineno for name, source, node in taken
                if name in ("max", "min") and source in scores - averaged)  # fmt: skip
    yield from (node.lineno for name, _, node in taken if name in ("mean", "average") and _of_ordered(node, scores))


def _of_ordered(node: ast.Call, scores: set[str]) -> bool:
    """Whether a mean gets a part of ordered scores: `np.mean(sorted(scores)[2:])`."""
    match node.args[:1]:
        case [ast.Subscript(value=ast.Call(func=order, args=[ast.Name(id=name)]), slice=ast.Slice() as part)]:
            return _last(order) in ("sorted", "sort") and name in scores and bool(part.lower or part.upper)
    return False


def _is_validation(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and _last(value.func) == "cross_val_score"


def _taken_from(node: ast.Call) -> str:
    """Return the name of the array that a function like `max` gets, or that has it as a method."""
    over = node.args[0] if node.args else getattr(node.func, "value", None)
    return over.id if isinstance(over, ast.Name) else ""


def _assigned(nodes: Sequence[ast.AST]) -> dict[str, ast.expr]:
    """Return the values of the names that are assigned once."""
    found: dict[str, list[ast.expr]] = {}
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found.setdefault(node.targets[0].id, []).append(node.value)
    return {name: values[0] for name, values in found.items() if len(values) == 1}


def _labelled(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yield the values with their labels: in f-strings, dicts, keywords of `dict`, and the arguments of `print`."""
    match node:
        case ast.JoinedStr(values=parts):
            yield from _pairs(parts)
        case ast.Dict(keys=keys, values=values):
            pairs = zip(keys, values, strict=True)
            named = ((key.value, one) for key, one in pairs if isinstance(key, ast.Constant))
            yield from ((key, one) for key, one in named if isinstance(key, str))
        case ast.Call(func=ast.Name(id="dict"), keywords=keywords):
            yield from ((one.arg, one.value) for one in keywords if one.arg)
        case ast.Call(func=ast.Name(id="print"), args=args):
            yield from _pairs(args)


def _pairs(parts: Sequence[ast.expr]) -> Iterator[tuple[str, ast.expr]]:
    """Yield each value that follows a constant text."""
    for before, after in itertools.pairwise(parts):
        if isinstance(before, ast.Constant) and isinstance(before.value, str):
            yield before.value, after.value if isinstance(after, ast.FormattedValue) else after


def _is_text(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _named(label: str) -> str:
    """Return the metric that the last words of a label name, or "" if none or several do."""
    words = plain(label.splitlines()[-1] if label.strip() else "").replace("_", " ")
    found = metrics_in(words)
    names = {one.metric for one in found}
    if len(names) != 1:
        return ""
    metric = names.pop()
    kinds = _KINDS if metric == "accuracy" else {}
    return next((f"{kind} {metric}" for kind, pattern in kinds.items() if pattern.search(words)), metric)


def _inner(value: ast.expr, assigned: Mapping[str, ast.expr]) -> ast.expr:
    """Return the expression below roundings, conversions, percentages, and names that are assigned once."""
    for _ in range(6):
        match value:
            case ast.Name(id=name) if name in assigned:
                value = assigned[name]
            case ast.Call(func=func, args=[first, *_]) if _last(func) in _WRAPPERS:
                value = first
            case ast.BinOp(left=ast.Constant(value=100 | 100.0), op=ast.Mult(), right=other):
                value = other
            case ast.BinOp(left=other, op=ast.Mult(), right=ast.Constant(value=100 | 100.0)):
                value = other
            case _:
                return value
    return value


def _computed(value: ast.expr) -> tuple[tuple[str, ...], str]:
    """Return the names that an expression may have, and what it computes, or two empty values for other expressions."""
    if not isinstance(value, ast.Call):
        return (), ""
    name = _last(value.func)
    given = {one.arg: one.value for one in value.keywords}
    average = given.get("average")
    if name in _CALLS and (average is None or name in _MIXED or _is_text(average)):
        squared = given.get("squared")
        extra = ("rmse",) if squared is not None else ()
        micro = ("accuracy",) if average is not None and name in ("precision_score", "recall_score") else ()
        return (*_CALLS[name], *extra, *micro), name
    return _by_hand(value, name)


def _by_hand(value: ast.Call, name: str) -> tuple[tuple[str, ...], str]:
    """Return what a mean or median of a comparison or of differences is."""
    if name not in ("mean", "median", "average") or len(value.args) > 1:
        return (), ""
    over = value.args[0] if value.args else value.func.value if isinstance(value.func, ast.Attribute) else None
    match over:
        case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]) if _is_whole(left) and _is_whole(right):
            return _EQUAL, "the share of equal values"
        case ast.Call(func=func, args=[ast.BinOp(op=ast.Sub())]) if _last(func) in ("abs", "absolute", "fabs"):
            allowed = ("error", "score") if name == "median" else ("mae", "error", "score", "loss")
            return allowed, f"the {name} of absolute differences"
        case ast.BinOp(left=ast.BinOp(op=ast.Sub()), op=ast.Pow(), right=ast.Constant(value=2)):
            return ("mse", "loss", "error", "score", "brier"), f"the {name} of squared differences"
    return (), ""


def _is_whole(node: ast.expr) -> bool:
    """Whether an operand is a whole array by name, and not a constant or a selection."""
    return not any(isinstance(one, ast.Subscript | ast.Constant | ast.Compare) for one in ast.walk(node))


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
