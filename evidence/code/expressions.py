"""Evaluates the expressions of a script to abstract values."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from ml_intern.evidence.code import calls, tables
from ml_intern.evidence.code.fitting import call_model, fit_facts, importances
from ml_intern.evidence.code.loading import EvaluatedCall, join_values, joined, pick_split
from ml_intern.evidence.code.names import check_format, check_label
from ml_intern.evidence.code.passes import LoopPasses
from ml_intern.evidence.code.recorder import Recorder
from ml_intern.evidence.code.scoring import compare, is_spread, part_taken
from ml_intern.evidence.code.selecting import column, mask, picked_by, select
from ml_intern.evidence.code.values import (
    NOTHING,
    UNSET,
    Fit,
    Function,
    Instance,
    Model,
    Table,
    Value,
    either,
    merge,
)

_MAX_STEPS: Final = 30_000
_MAX_TEXT: Final = 10_000
_MAX_PASSES: Final = 10**9
_MAX_FILES: Final = 12
_FORGOTTEN: Final = frozenset({"shape", "size", "ndim", "columns", "dtype", "dtypes", "device", "__name__"})


class TooDeepError(Exception):
    """The script has more paths than are followed."""


@dataclass
class NameScope:
    """The names of a module or of one call of a function."""

    names: dict[str, Value] = field(default_factory=dict[str, Value])
    outer: "NameScope | None" = None
    returned: list[Value] = field(default_factory=list[Value])
    yielded: Value = NOTHING
    line: int = 0

    def find(self, name: str) -> Value | None:
        """Return the value of a name, here or outside."""
        frame: NameScope | None = self
        while frame is not None:
            if name in frame.names:
                return frame.names[name]
            frame = frame.outer
        return None


class Expressions:
    """Evaluates expressions; the statements are followed by `ScriptInterpreter`."""

    def __init__(self, recorder: Recorder, used_as_model: frozenset[str], aliases: dict[str, str]) -> None:
        self.recorder = recorder
        self.used_as_model = used_as_model
        self.aliases = aliases
        """The names that imports give to other names."""
        self.frame = NameScope()
        self.networks: list[Model] = []
        self.depth = 0
        self.steps = 0
        self.loop_passes = LoopPasses(self._has_rows)

    def _has_rows(self, name: str) -> bool:
        return any(not one.root.startswith("call:") for one in (self.frame.find(name) or NOTHING).parts)

    def count(self) -> None:
        """Count one step. Raises TooDeepError."""
        self.steps += 1
        if self.steps > _MAX_STEPS:
            raise TooDeepError

    def evaluate(self, node: ast.expr) -> Value:
        """Return the value of an expression."""
        method = getattr(self, f"of_{type(node).__name__.lower()}", None)
        if method is not None:
            made: Value = method(node)
            return made
        return merge(self.evaluate(one) for one in ast.iter_child_nodes(node) if isinstance(one, ast.expr))

    def of_constant(self, node: ast.Constant) -> Value:
        """A literal."""
        return Value(constant=node.value)

    def of_name(self, node: ast.Name) -> Value:
        """A variable."""
        return self.frame.find(node.id) or NOTHING

    def of_tuple(self, node: ast.Tuple | ast.List | ast.Set) -> Value:
        """A collection with known items."""
        if any(isinstance(one, ast.Starred) for one in node.elts):
            return merge(self.evaluate(one) for one in node.elts)
        items = tuple(self.evaluate(one) for one in node.elts)
        return replace(merge(items), items=items)

    of_list = of_tuple
    of_set = of_tuple

    def of_dict(self, node: ast.Dict) -> Value:
        """A dictionary with known keys."""
        entries: dict[object, Value] = {}
        for key, one in zip(node.keys, node.values, strict=True):
            value = self.evaluate(one)
            name = self.evaluate(key).constant if key is not None else UNSET
            if isinstance(name, str | int | float):
                entries[name] = value
                check_label(self.recorder, str(name), value, one.lineno)
        return replace(merge(entries.values()), thing=Table(entries))

    def of_joinedstr(self, node: ast.JoinedStr) -> Value:
        """A formatted text: each number belongs to the text before it."""
        label, texts, values = "", [], []
        for part in node.values:
            value = self.evaluate(part.value if isinstance(part, ast.FormattedValue) else part)
            values.append(value)
            texts.append(str(value.constant))
            if value.text or isinstance(part, ast.Constant):
                label += value.text
            else:
                check_label(self.recorder, label, value, part.lineno)
                label = ""
        known = all(one.constant is not UNSET for one in values)
        return Value(constant="".join(texts)) if known else replace(merge(values), columns=frozenset())

    def of_formattedvalue(self, node: ast.FormattedValue) -> Value:
        """A value inside a formatted text."""
        return self.evaluate(node.value)

    def of_starred(self, node: ast.Starred) -> Value:
        """An unpacked collection."""
        return self.evaluate(node.value)

    def of_await(self, node: ast.Await) -> Value:
        """An awaited value."""
        return self.evaluate(node.value)

    def of_yield(self, node: ast.Yield) -> Value:
        """A value that the function gives to its loop."""
        value = self.evaluate(node.value) if node.value is not None else NOTHING
        self.frame.yielded = replace(merge([self.frame.yielded, value]), element=value)
        return NOTHING

    def of_namedexpr(self, node: ast.NamedExpr) -> Value:
        """A value that is bound in passing."""
        value = self.evaluate(node.value)
        self.frame.names[node.target.id] = value
        return value

    def of_lambda(self, node: ast.Lambda) -> Value:
        """A function of one expression."""
        return Value(thing=self.function(node.args, [ast.copy_location(ast.Return(node.body), node)]))

    def function(self, arguments: ast.arguments, body: Sequence[ast.stmt]) -> Function:
        """Return a function of the file; `ScriptInterpreter` follows its statements."""
        raise NotImplementedError

    def of_ifexp(self, node: ast.IfExp) -> Value:
        """One of two values."""
        test = self.evaluate(node.test)
        if test.constant is not UNSET:
            return self.evaluate(node.body if test.constant else node.orelse)
        return either(self.evaluate(node.body), self.evaluate(node.orelse))

    def of_boolop(self, node: ast.BoolOp) -> Value:
        """A combination of conditions."""
        return merge(self.evaluate(one) for one in node.values)

    def of_unaryop(self, node: ast.UnaryOp) -> Value:
        """A negated or inverted value."""
        value = self.evaluate(node.operand)
        if isinstance(node.op, ast.Not) and value.constant is not UNSET:
            return Value(constant=not value.constant)
        if isinstance(node.op, ast.USub) and isinstance(value.constant, int | float):
            return Value(constant=-value.constant)
        return mask(value, node) if isinstance(node.op, ast.Invert) else value

    def of_binop(self, node: ast.BinOp) -> Value:
        """An operation: of errors, of joined lists, of paths, or of data."""
        one, other = self.evaluate(node.left), self.evaluate(node.right)
        short = len(one.text) + len(other.text) < _MAX_TEXT
        if one.text and other.text and short and isinstance(node.op, ast.Add | ast.Div):
            return Value(constant=one.text + ("/" if isinstance(node.op, ast.Div) else "") + other.text)
        if isinstance(node.op, ast.Mod) and one.text:
            check_format(self.recorder, one.text, other.items or (other,), node.lineno)
        if isinstance(node.op, ast.Sub) and (one.predicted or other.predicted):
            return compare(self.recorder, node.lineno, one, other)
        if isinstance(node.op, ast.Add) and not (one.scores or other.scores) and joined([one, other], node.lineno):
            return join_values([one, other], node.lineno)
        made = merge([one, other])
        if isinstance(node.op, ast.Mult):
            return replace(made, tags=made.tags - {"scaled"})
        return made.tagged("scaled") if isinstance(node.op, ast.Div) and one.parts and is_spread(other) else made

    def of_compare(self, node: ast.Compare) -> Value:
        """A comparison: of predictions with targets, or a mask of rows."""
        one, other = self.evaluate(node.left), self.evaluate(node.comparators[0])
        if one.constant is not UNSET and other.constant is not UNSET and isinstance(node.ops[0], ast.Eq | ast.NotEq):
            return Value(constant=(one.constant == other.constant) is isinstance(node.ops[0], ast.Eq))
        if one.predicted or other.predicted:
            return compare(self.recorder, node.lineno, one, other).tagged("mask")
        both = merge([one, other])
        return mask(replace(both, fits=_without_statistics(both.fits)), node, other.text)

    def of_subscript(self, node: ast.Subscript) -> Value:
        """Rows, columns, a split or an item."""
        value = self.evaluate(node.value)
        if _dotted(node.value).endswith(".r_"):
            items = self.evaluate(node.slice)
            return join_values(list(items.items or [items]), node.lineno)
        part_taken(self.recorder, value, node.lineno)
        key = self.evaluate(node.slice) if not isinstance(node.slice, ast.Slice) else NOTHING
        if isinstance(value.thing, Table):
            return self._entry(value, key)
        found = value if value.is_plain and key.fits else select(value, node.slice, key, self.evaluate)
        return _chosen(found, key.fits) if found.parts or found.is_plain else found

    def _entry(self, value: Value, key: Value) -> Value:
        table = value.thing
        if isinstance(table, Table) and isinstance(key.constant, str | int | float) and key.constant in table.entries:
            return table.entries[key.constant]
        if isinstance(table, Table) and table.split and key.text:
            return pick_split(value, key.text)
        return value.plain()

    def of_attribute(self, node: ast.Attribute) -> Value:
        """An attribute: a column, the loss of an output, or a field of an object of the file."""
        owner = self.evaluate(node.value)
        if isinstance(owner.thing, Instance):
            return owner.thing.attributes.get(node.attr) or owner.thing.methods.get(node.attr, NOTHING)
        if owner.thing is not None and not owner.parts:
            return _of_model(owner.model, node.attr) if owner.model else NOTHING
        if node.attr in _FORGOTTEN:
            return NOTHING
        if owner.predicted and node.attr == "loss":
            self.recorder.evaluated("loss", node.lineno, NOTHING, owner)
            return replace(owner, scores=owner.parts, columns=frozenset())
        if node.attr in ("T", "values", "iloc", "loc", "index", "logits", "text", "str", "at", "iat", "dt"):
            return owner
        return column(owner, node.attr) if owner.is_data else NOTHING

    def of_listcomp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> Value:
        """A collection whose elements are made alike: of each file, if it goes through names of files."""
        first, *more = node.generators
        listed = isinstance(first.iter, ast.Tuple | ast.List | ast.Name) and not (more or first.ifs)
        names = (self.evaluate(first.iter).items or ()) if listed else ()
        if 1 < len(names) <= _MAX_FILES and all(tables.is_data_file(one.text) for one in names):
            items = tuple(self._bound(first.target, name, node.elt) for name in names)
            return replace(merge(items), items=items)
        return self._comprehension(node.generators, node.elt)

    of_setcomp = of_listcomp
    of_generatorexp = of_listcomp

    def of_dictcomp(self, node: ast.DictComp) -> Value:
        """A dictionary whose values are made alike."""
        return self._comprehension(node.generators, node.value)

    def _bound(self, target: ast.expr, value: Value, element: ast.expr) -> Value:
        """Return an expression whose target has this value."""
        outer, self.frame = self.frame, NameScope({}, self.frame)
        self.assign(target, value)
        made, self.frame = self.evaluate(element), outer
        return made

    def _comprehension(self, generators: list[ast.comprehension], element: ast.expr) -> Value:
        outer, self.frame = self.frame, NameScope({}, self.frame)
        for one in generators:
            iterable = self.evaluate(one.iter)
            self.recorder.loops.append(self.passes(one.iter, iterable))
            self.assign(one.target, iterable.element or (merge(iterable.items) if iterable.items else iterable.plain()))
        tests = merge(self.evaluate(test) for one in generators for test in one.ifs)
        made = _chosen(self.evaluate(element), tests.fits)
        made = picked_by(made, tests, [test for one in generators for test in one.ifs], self.recorder)
        several = any(number != 1 for number in self.recorder.loops[-len(generators) :])
        targets = {name.id for one in generators for name in ast.walk(one.target) if isinstance(name, ast.Name)}
        copies = several and not _loop_rows(generators, self) and self.loop_passes.repeats(element, targets)
        del self.recorder.loops[-len(generators) :]
        self.frame = outer
        value = replace(merge([made]), element=made)
        value = replace(value, copied=value.copied | {element.lineno}) if copies else value.tagged("apart")
        return value.tagged("many") if several else replace(value, element=None, items=(made,))

    def assign(self, target: ast.expr, value: Value) -> None:
        """Bind a target; `ScriptInterpreter` does."""
        raise NotImplementedError

    def passes(self, node: ast.expr, iterable: Value) -> int:
        """Return how many times a loop over this runs; 0 if it is unknown."""
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("range", "trange"):
            numbers = [self.evaluate(one).constant for one in node.args]
            if numbers and all(isinstance(one, int) and abs(one) < _MAX_PASSES for one in numbers):
                return max(len(range(*numbers)), 1) if len(numbers) < 3 or numbers[2] else 0
        return len(iterable.items) if iterable.items else 0

    def network(self, name: str, line: int) -> Value:
        """Return a new network of a class in the file."""
        model = Model(name, line)
        self.networks.append(model)
        return Value(thing=model)

    def gradient_fit(self, model: Model, loss: Value, line: int) -> frozenset[Fit]:
        """Return the fit that a gradient step makes."""
        return fit_facts(model, replace(loss, parts=loss.scores or loss.parts), line)

    def column(self, value: Value, key: str) -> Value:
        """Return one column of rows."""
        return column(value, key)

    def of_call(self, node: ast.Call) -> Value:
        """A call."""
        self.count()
        call = self._call(node)
        callee = self._callee(node)
        self.recorder.stack.append(node.lineno)
        try:
            return self._result(call, callee)
        finally:
            self.recorder.stack.pop()

    def _call(self, node: ast.Call) -> EvaluatedCall:
        function = node.func
        receiver = None
        if isinstance(function, ast.Attribute):
            receiver = self._receiver(function)
        name = _dotted(function).rpartition(".")[2] or (function.attr if isinstance(function, ast.Attribute) else "")
        args: list[Value] = []
        for one in node.args:
            value = self.evaluate(one)
            args += value.items if isinstance(one, ast.Starred) and value.items else [value]
        keywords = {one.arg: self.evaluate(one.value) for one in node.keywords if one.arg}
        spread = [self.evaluate(one.value) for one in node.keywords if not one.arg]
        for given in spread:
            if isinstance(given.thing, Table):
                keywords |= {key: value for key, value in given.thing.entries.items() if isinstance(key, str)}
            else:
                args.append(given)
        path = _dotted(function)
        return EvaluatedCall(
            node, self.aliases.get(name, name), path, receiver, args, keywords, self.recorder, self._applied
        )

    def _receiver(self, function: ast.Attribute) -> Value | None:
        owner = function.value
        if isinstance(owner, ast.Name) and self.frame.find(owner.id) is None:
            return None  # a module
        value = self.evaluate(owner)
        if value.thing is None and not value.is_data and function.attr in tables.FITS:
            value = Value(thing=Model("", owner.lineno))
            if isinstance(owner, ast.Name):
                self.assign(owner, value)
        return value

    def _callee(self, node: ast.Call) -> Value:
        function = node.func
        if isinstance(function, ast.Attribute):
            owner = self.evaluate(function.value) if not isinstance(function.value, ast.Call) else NOTHING
            return self.of_attribute(function) if isinstance(owner.thing, Instance) else NOTHING
        return self.evaluate(function)

    def _applied(self, function: Value, args: list[Value]) -> Value | None:
        return self.apply(function, args, {}) if isinstance(function.thing, Function) else None

    def apply(self, function: Value, args: list[Value], keywords: dict[str, Value]) -> Value:
        """EvaluatedCall a function of the file."""
        return function.thing.apply(args, keywords) if isinstance(function.thing, Function) else NOTHING

    def _result(self, call: EvaluatedCall, callee: Value) -> Value:
        if isinstance(callee.thing, Function):
            bound = isinstance(call.node.func, ast.Attribute) and call.receiver is not None
            args = [call.receiver, *call.args] if bound and call.receiver is not None else call.args
            return callee.thing.apply(args, call.keywords)
        if callee.model is not None:
            made = call_model(callee.model, call)
            marker = Fit(-callee.model.line, frozenset(), callee.model.name, "model")
            return replace(made, fits=made.fits | {marker})
        made = calls.result(call, self.network)
        if made.model is not None and made.model.name in tables.NETWORKS and made.model not in self.networks:
            self.networks.append(made.model)
        return made


def _loop_rows(generators: list[ast.comprehension], machine: Expressions) -> bool:
    """Return whether a comprehension goes through rows of data, so that each row comes once."""
    outer = machine.frame.outer
    frame, machine.frame = machine.frame, outer or machine.frame
    rows = any(machine.evaluate(one.iter).is_data for one in generators)
    machine.frame = frame
    return rows


def _of_model(model: Model, attribute: str) -> Value:
    """Return what an attribute of a model says about its columns, or its members."""
    if attribute in tables.IMPORTANCES:
        return importances(model, attribute)
    if attribute in ("estimators_", "estimators"):
        return Value(element=Value(thing=Model(model.final, model.line, model.fits)))
    return Value(thing=model) if attribute in ("best_estimator_", "estimator_") else NOTHING


def _chosen(value: Value, fits: frozenset[Fit]) -> Value:
    """Return a value with the fits by which its columns are chosen."""
    chosen = frozenset(fit for fit in fits if fit.kind == "select")
    return replace(value, fits=value.fits | chosen) if chosen else value


def _without_statistics(fits: frozenset[Fit]) -> frozenset[Fit]:
    """Return the fits that a comparison hands on: a threshold at a mean is not a fit of the rows."""
    return frozenset(fit for fit in fits if fit.kind != "statistic")


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return f"{_dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else ""
