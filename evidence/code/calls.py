"""Evaluates one call by its name: the table of everything that the rules know."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ml_intern.evidence.code import tables
from ml_intern.evidence.code.fitting import MODEL_CALLS, build, importances, is_selector, train
from ml_intern.evidence.code.loading import LOADS, EvaluatedCall, builtin_source, folds, read_file
from ml_intern.evidence.code.names import check_format, check_label
from ml_intern.evidence.code.saving import check_saved, note_saved
from ml_intern.evidence.code.scoring import SCORE_CALLS, aggregate, choose, compare, part_taken, scored
from ml_intern.evidence.code.values import Fit, Function, RowSet, Table, Value, merge

_NEEDS_ROWS: Final = frozenset({"sample", "drop"})
_HARDENS: Final = frozenset({"round", "rint", "argmax", "where", "sign", "topk"})
_WIDE: Final = tables.WIDENS | {"getattr", "apply", "DataFrame", "stack", "assign"}
_LOGS: Final = frozenset(
    {"print", "log", "info", "write", "format", "echo", "add_scalar", "log_metric", "warning", "debug"}
)
_PASSES: Final = frozenset(
    {"list", "tuple", "iter", "tqdm", "trange", "reversed", "prefetch", "cycle", "track", "array", "asarray", "Series"}
)


def result(call: EvaluatedCall, network: Callable[[str, int], Value]) -> Value:
    """Return the value of a call that is not one of a function in the file."""
    if call.name == "split" and call.receiver is not None and call.receiver.model:
        return folds(call)
    _shown_or_saved(call)
    if call.name in tables.KEEPS and call.receiver is not None:
        return call.receiver
    for rule in (_of_rows, _of_model, _of_scores, _of_collection, _of_numbers):
        made = rule(call)
        if made is not None:
            return made
    if call.name in tables.NETWORKS and call.name != "from_pretrained":
        return network(call.name, call.line)
    return _unknown(call)


def _shown_or_saved(call: EvaluatedCall) -> None:
    if call.name in _LOGS:
        _logged(call)
    if call.name in tables.SAVES:
        check_saved(call)
    if call.name in tables.SAVES_MODELS:
        note_saved(call)


def _logged(call: EvaluatedCall) -> None:
    label = ""
    if call.name == "format" and call.receiver is not None:
        check_format(call.recorder, call.receiver.text, call.args, call.line)
    for one in call.args:
        if one.text:
            label = f"{label} {one.text}"
        else:
            check_label(call.recorder, label, one, call.line)
            label = ""
    for name, one in call.keywords.items():
        check_label(call.recorder, name, one, call.line)


def _of_rows(call: EvaluatedCall) -> Value | None:
    """A call that reads, splits, joins or copies rows."""
    has_rows = call.receiver is not None and call.receiver.parts
    if call.name in _NEEDS_ROWS and not has_rows:
        return None
    if call.name == "append" and call.receiver is not None and not has_rows:
        return None
    if call.name == "train_test_split" and not call.args and not has_rows and call.receiver is None:
        return None
    return LOADS[call.name](call) if call.name in LOADS else None


def _of_model(call: EvaluatedCall) -> Value | None:
    """A call that makes or uses a model."""
    if call.name == "train" and call.receiver is None:
        return train(call)
    if call.name.endswith("Loss") and call.name[:1].isupper():
        return Value(thing=Function(lambda args, _: _loss(call, args)))
    if call.receiver is None or not call.receiver.model or call.name in ("clone", "deepcopy"):
        return build(call)
    return _of_known_model(call)


def _loss(call: EvaluatedCall, args: list[Value]) -> Value:
    """Evaluate a loss object: a metric of its two arguments."""
    if len(args) < 2:
        return merge(args)
    made, targets = (args[0], args[1]) if args[0].predicted else (args[1], args[0])
    value = scored(call.recorder, call.name, call.recorder.stack[-1], (targets, made))
    return replace(value, parts=made.parts, predicted=made.predicted)


def _of_known_model(call: EvaluatedCall) -> Value | None:
    model = call.receiver.model if call.receiver else None
    if model is None:
        return None
    if call.name in ("from_pretrained", "from_config"):
        return build(call)
    if call.name in tables.IMPORTANCES and is_selector(model):
        return importances(model, call.name)
    made = MODEL_CALLS[call.name](call) if call.name in MODEL_CALLS else None
    if made is not None:
        return made
    if call.name in (
        "to",
        "cuda",
        "cpu",
        "eval",
        "train",
        "set_params",
        "compile",
        "half",
        "float",
        "set_output",
        "state_dict",
        "double",
    ):
        return call.receiver
    return Value(fits=model.fits) if call.name in ("get_booster", "named_steps") else None


def _of_scores(call: EvaluatedCall) -> Value | None:
    """A call that computes a metric or chooses by one."""
    if (
        call.name in ("eq", "sub", "subtract", "equal", "isclose", "not_equal")
        and len(call.args) + bool(call.receiver) >= 2
    ):
        pair = [*([call.receiver] if call.receiver is not None else []), *call.args][:2]
        return compare(call.recorder, call.line, pair[0], pair[1])
    if call.name == "compute" and {"predictions", "references"} <= call.keywords.keys():
        pair_ = (call.keywords["references"], call.keywords["predictions"])
        return scored(call.recorder, "metric", call.line, pair_)
    if call.name in SCORE_CALLS:
        return SCORE_CALLS[call.name](call)
    if call.name in ("head", "pop") and call.receiver is not None:
        part_taken(call.recorder, call.receiver, call.line)
    return choose(call) if call.name in tables.CHOOSES else None


def _of_collection(call: EvaluatedCall) -> Value | None:
    """A call that goes through a collection."""
    first = call.args[0] if call.args else Value()
    if call.name == "next":
        return first.element or (first.items[0] if first.items else first.plain())
    if call.name == "enumerate":
        return Value(element=Value(items=(Value(), _element(first)))) if not first.items else _numbered(first.items)
    if call.name == "zip":
        return _zipped(call.args)
    if call.name in ("items", "values", "keys") and call.receiver is not None:
        return _entries(call.receiver, call.name)
    if call.name == "get" and call.receiver is not None and isinstance(call.receiver.thing, Table):
        return _looked_up(call.receiver, call.receiver.thing, first)
    if call.name in _PASSES and len(call.args) >= 1:
        return first.tagged("index") if "index" in first.tags else first
    if call.name in ("join", "joinpath", "Path", "str", "expanduser", "PurePath") and not first.is_data:
        return _path(call)
    return None


def _looked_up(value: Value, table: Table, key: Value) -> Value:
    """Evaluate `table.get(key)`: the key decides which value, and does not flow into it."""
    known = isinstance(key.constant, str | int | float) and table.entries.get(key.constant)
    return known or value.plain()


def _numbered(items: tuple[Value, ...]) -> Value:
    return Value(items=tuple(Value(items=(Value(constant=at), one)) for at, one in enumerate(items)))


def _element(value: Value) -> Value:
    return value.element or (merge(value.items) if value.items else value.plain())


def _zipped(values: list[Value]) -> Value:
    if values and all(one.items is not None for one in values):
        rows = zip(*(one.items or () for one in values), strict=False)
        return Value(items=tuple(Value(items=row) for row in rows))
    return replace(merge(values), element=Value(items=tuple(_element(one) for one in values)))


def _entries(value: Value, name: str) -> Value | None:
    if not isinstance(value.thing, Table) or not value.thing.entries:
        return value if name != "keys" and value.element is not None else None
    pairs = value.thing.entries.items()
    if name == "items":
        return Value(items=tuple(Value(items=(Value(constant=key), one)) for key, one in pairs))
    if name == "values":
        items = tuple(one for _, one in pairs)
        return replace(merge(items), items=items)
    return Value(items=tuple(Value(constant=key) for key, _ in pairs))


def _path(call: EvaluatedCall) -> Value:
    parts = [*([call.receiver] if call.receiver is not None else []), *call.args]
    texts = [str(one.constant) for one in parts if isinstance(one.constant, str)]
    return Value(constant="/".join(texts)) if texts and texts[-1] == str(parts[-1].constant) else Value()


def _of_numbers(call: EvaluatedCall) -> Value | None:
    """A call that reads a file, reduces numbers or makes an index."""
    if call.name in tables.INDEXES:
        return Value().tagged("index") if not any(one.parts for one in call.given) else call.everything
    if call.name in tables.FORGETS:
        return Value()
    if call.name in tables.SOLVERS and call.everything.parts:
        rows = call.everything
        return Value(fits=rows.fits | {Fit(call.line, rows.parts, "the model", "model")}, predicted=True)
    if call.name in tables.CHOOSES and call.everything.scores:
        return replace(call.everything, element=None)
    if call.name in tables.AGGREGATES and (call.everything.errors or call.everything.scores):
        return aggregate(call)
    if call.name in _HARDENS and call.everything.predicted:
        return call.everything.tagged("hard", *(["relabelled"] if _replaces_labels(call) else []))
    if call.name in tables.REDUCTIONS | tables.SCALES | tables.RELATES:
        return _statistic(call) if call.name in tables.REDUCTIONS else _fitted_function(call)
    return _rescaled(call) or read_file(call) or builtin_source(call)


def _replaces_labels(call: EvaluatedCall) -> bool:
    """Return whether `where(condition, a, b)` takes labels from a column for some rows and predictions for others."""
    if call.name != "where" or len(call.args) != 3:
        return False
    kept = [one for one in call.args[1:] if one.columns and one.parts and not one.predicted]
    return len(kept) == 1 and any(one.predicted for one in call.args[1:])


def _rescaled(call: EvaluatedCall) -> Value | None:
    """Evaluate a logarithm of rows, or what undoes it."""
    value = call.everything
    if not value.parts or call.name not in tables.LOGARITHMS | tables.EXPONENTIALS:
        return None
    if call.name in tables.LOGARITHMS:
        return value if value.predicted else value.tagged("logarithm")
    return replace(value, tags=value.tags - {"logarithm"})


def _fitted_function(call: EvaluatedCall) -> Value:
    """Evaluate a function that looks at all rows: to scale them, or to relate columns to the target."""
    value = call.everything
    if not value.parts or value.predicted:
        return value
    if call.name in tables.RELATES:
        return Value(fits=value.fits | {Fit(call.line, value.parts, call.name, "select")})
    first = (call.receiver or Value()) if not call.args else call.args[0]
    return replace(first, fits=first.fits | {Fit(call.line, first.parts, call.name, "transform")})


def _statistic(call: EvaluatedCall) -> Value:
    """Evaluate a number computed from all rows."""
    value = call.everything
    if call.name == "sum" and value.errors:
        return aggregate(call)
    if call.name in tables.STATISTICS and value.parts and not value.predicted:
        name = "the " + {"std": "standard deviation", "var": "variance"}.get(call.name, call.name)
        return Value(fits=value.fits | {Fit(call.line, value.parts, name, "statistic")})
    return Value(fits=value.fits, scores=value.scores, predicted=value.predicted)


def _unknown(call: EvaluatedCall) -> Value:
    """Return the merged arguments of an unknown function, or a new source if they hold no data."""
    value = call.everything
    if call.receiver is not None and isinstance(call.receiver.thing, Table) and call.name in tables.LAZY:
        return call.receiver
    if call.name == "Dataset" and "reference" in call.keywords:
        value = merge([*call.args, *(one for name, one in call.keywords.items() if name != "reference")])
    if value.is_data or value.scores or value.fits or value.errors or value.predicted:
        return replace(value, columns=frozenset()) if call.name in _WIDE else value
    if call.receiver is not None or any(one.thing is not None for one in call.given):
        return Value()
    return Value(frozenset({RowSet(f"call:{call.path}@{call.line}:{call.node.col_offset}")})).tagged("opaque")
