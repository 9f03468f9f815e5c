"""Follows the statements of a script: assignments, branches, loops and functions of the file."""

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from ml_intern.evidence.code import tables
from ml_intern.evidence.code.expressions import Expressions, NameScope
from ml_intern.evidence.code.loading import with_role
from ml_intern.evidence.code.names import check_label
from ml_intern.evidence.code.scoring import chosen_on_test, report_choice
from ml_intern.evidence.code.values import (
    NOTHING,
    UNSET,
    Function,
    Instance,
    Model,
    RowSet,
    Table,
    Value,
    either,
    merge,
)

_ENDS: Final = (ast.Return, ast.Raise, ast.Continue, ast.Break)
_MAX_DEPTH: Final = 8
_MAX_ITEMS: Final = 8
_MUTATORS: Final = frozenset({"append", "extend", "add", "update", "insert", "appendleft", "setdefault"})


class ScriptInterpreter(Expressions):
    """Runs a module abstractly: every branch once, every loop twice."""

    def run(self, body: Sequence[ast.stmt]) -> None:
        """Follow statements in order."""
        for statement in body:
            self.count()
            self.statement(statement)

    def statement(self, node: ast.stmt) -> None:
        """Follow one statement."""
        method = getattr(self, f"do_{type(node).__name__.lower()}", None)
        if method is not None:
            method(node)

    def run_unused(self, tree: ast.Module) -> None:
        """Follow the functions without arguments that nothing in the file calls: entry points of other programs."""
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name not in used:
                self.apply(self.frame.names.get(node.name, NOTHING), [], {})

    def do_expr(self, node: ast.Expr) -> None:
        """Evaluate for its effects; keep what a list or dictionary receives."""
        value = node.value
        made = self.evaluate(value)
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
            self._mutated(value, value.func, made)

    def _mutated(self, node: ast.Call, function: ast.Attribute, made: Value) -> None:
        if function.attr == "backward":
            self._backward(self.evaluate(function.value), node.lineno)
        if function.attr not in _MUTATORS or not node.args:
            return
        old, given = self.evaluate(function.value), self.evaluate(node.args[-1])
        if isinstance(old.thing, Instance | Model):
            return
        once = self.loop_passes.grow(function.value, node.args[-1])
        made = replace(made, copied=made.copied - {node.lineno}) if once else made
        grown = self._grown(old, given, made)
        grown = grown.tagged("apart") if once else replace(grown, tags=grown.tags - {"apart"})
        self.assign(function.value, grown)

    def _grown(self, old: Value, given: Value, made: Value) -> Value:
        """Return a collection with one more element."""
        element = self.united(old.element, given) if old.element is not None else given
        grown = replace(merge([old, given, made]), element=element, thing=old.thing)
        return grown.tagged("many") if self.recorder.in_loop else grown

    def united(self, one: Value, other: Value) -> Value:
        """Return the element of a collection of two values; tuples keep their items."""
        if one.items and other.items and len(one.items) == len(other.items):
            items = tuple(self.united(a, b) for a, b in zip(one.items, other.items, strict=True))
            return replace(merge([one, other]), items=items)
        return merge([one, other])

    def _backward(self, loss: Value, line: int) -> None:
        """A gradient step fits the networks that the loss comes from."""
        for model in self.networks:
            if any(one.name == model.name and one.line == -model.line for one in loss.fits):
                model.fits |= self.gradient_fit(model, loss, line)

    def do_assign(self, node: ast.Assign) -> None:
        """Bind targets."""
        value = self.evaluate(node.value)
        for target in node.targets:
            self.loop_passes.bind(target, node.value)
            self.assign(target, value)

    def do_annassign(self, node: ast.AnnAssign) -> None:
        """Bind an annotated target."""
        if node.value is not None:
            self.assign(node.target, self.evaluate(node.value))

    def do_augassign(self, node: ast.AugAssign) -> None:
        """Bind a target to an operation on itself."""
        self.assign(node.target, self.evaluate(ast.copy_location(ast.BinOp(node.target, node.op, node.value), node)))

    def assign(self, target: ast.expr, value: Value) -> None:
        """Bind a name, attribute, item or tuple of them."""
        match target:
            case ast.Name():
                self.frame.names[target.id] = self._named(target, value)
            case ast.Tuple() | ast.List():
                for element, item in zip(target.elts, self._unpacked(value, len(target.elts)), strict=True):
                    self.assign(element.value if isinstance(element, ast.Starred) else element, item)
            case ast.Attribute():
                owner = self.evaluate(target.value).thing
                if isinstance(owner, Instance):
                    owner.attributes[target.attr] = self._modelled(target.attr, value)
            case ast.Subscript():
                self._assign_item(target, value)
            case ast.Call(func=ast.Attribute(attr="setdefault", value=owner)):
                self.assign(owner, self._grown(self.evaluate(owner), value, NOTHING))

    def _assign_item(self, target: ast.Subscript, value: Value) -> None:
        base, key = self.evaluate(target.value), self.evaluate(target.slice)
        if isinstance(base.thing, Table) and isinstance(key.constant, str | int | float):
            base.thing.entries[key.constant] = value
            return
        if base.thing is not None and not isinstance(base.thing, Table):
            return
        tags = base.tags | ({"many"} if self.recorder.in_loop else set())
        flows = replace(base, fits=base.fits | value.fits, scores=base.scores | value.scores, tags=frozenset(tags))
        flows = replace(flows, parts=base.parts or value.parts, copied=base.copied | value.copied)
        if not key.text and base.predicted and not value.predicted:
            flows = replace(flows, columns=base.columns | value.columns)
        if not key.text and value.predicted and base.columns and not base.predicted:
            flows = flows.tagged("relabelled")
        self.assign(_root(target.value), flows if value.is_data or value.scores or value.fits else base)

    def _named(self, target: ast.Name, value: Value) -> Value:
        """Return the value as its name describes it: the role of a split, or that it is a network."""
        role = tables.role_of(target.id)
        if value.scores:
            check_label(self.recorder, target.id, value, target.lineno)
            return value
        if role and value.thing is None and not value.predicted:
            value = with_named_role(value, role)
            if value.copied and role != "train":
                value = replace(value, leaks=value.leaks | {(one, target.lineno) for one in value.copied})
        return self._modelled(target.id, value)

    def _modelled(self, name: str, value: Value) -> Value:
        if value.thing is None and "opaque" in value.tags and name in self.used_as_model:
            model = Model(name, self.frame.line)
            self.networks.append(model)
            return Value(thing=model)
        return value

    def _unpacked(self, value: Value, count: int) -> list[Value]:
        if value.items and len(value.items) == count:
            return list(value.items)
        if value.element is not None and not value.items:
            return [value.element] * count
        plain = value.plain()
        return [self.column(plain, f"item {at}") for at in range(count)]

    def do_if(self, node: ast.If) -> None:
        """Follow both branches, or the one that a constant selects, and keep what they agree on."""
        test = self.evaluate(node.test)
        self._choice(node)
        if test.constant is not UNSET:
            self.run(node.body if test.constant else node.orelse)
            return
        before = dict(self.frame.names)
        self.run(node.body)
        after = self.frame.names
        self.frame.names = dict(before)
        self.run(node.orelse)
        if _leaves(node.orelse):
            self.frame.names = after
        elif not _leaves(node.body):
            self.frame.names = _agreed(after, self.frame.names)

    def _choice(self, node: ast.If) -> None:
        """Report `if score > best: best = score` in a loop when the score is one on test rows, and models it keeps."""
        if not self.recorder.in_loop or not isinstance(node.test, ast.Compare | ast.BoolOp):
            return
        if any(self.evaluate(one).model for one in _added(node.body)) and chosen_on_test(self.evaluate(node.test)):
            report_choice(self.recorder, node.lineno)
        compares = [one for one in ast.walk(node.test) if isinstance(one, ast.Compare)]
        kept = {target.id for one in node.body for target in _targets(one) if isinstance(target, ast.Name)}
        for one in compares:
            ordered = isinstance(one.ops[0], ast.Gt | ast.Lt | ast.GtE | ast.LtE)
            sides = [one.left, one.comparators[0]]
            names = {name.id for side in sides for name in ast.walk(side) if isinstance(name, ast.Name)}
            if ordered and kept & names and any(chosen_on_test(self.evaluate(side)) for side in sides):
                report_choice(self.recorder, one.lineno)

    def do_for(self, node: ast.For | ast.AsyncFor) -> None:
        """Follow the body for each known item, else twice for any item."""
        iterable = self.evaluate(node.iter)
        items = list(iterable.items or ())
        self.recorder.loops.append(self.passes(node.iter, iterable))
        self.loop_passes.enter(node.target, node.iter)
        for item in self.iterated(iterable, items):
            self.assign(node.target, item)
            self.run(node.body)
        self.loop_passes.leave()
        self.recorder.loops.pop()
        self.run(node.orelse)

    do_asyncfor = do_for

    def iterated(self, iterable: Value, items: list[Value]) -> list[Value]:
        """Return the values that a loop variable takes."""
        if items and len(items) <= _MAX_ITEMS:
            return items
        element = iterable.element or (merge(items) if items else iterable.plain())
        return [element] * (1 if self.depth > 3 else 2)

    def do_while(self, node: ast.While) -> None:
        """Follow the body twice."""
        self.recorder.loops.append(0)
        self.evaluate(node.test)
        self.run(node.body)
        self.run(node.body)
        self.recorder.loops.pop()

    def do_with(self, node: ast.With | ast.AsyncWith) -> None:
        """Bind what the contexts give, and follow the body."""
        for item in node.items:
            value = self.evaluate(item.context_expr)
            if item.optional_vars is not None:
                self.assign(item.optional_vars, value)
        self.run(node.body)

    do_asyncwith = do_with

    def do_try(self, node: ast.Try) -> None:
        """Follow the body; what handlers do instead is another rule."""
        self.run(node.body)
        after = dict(self.frame.names)
        for handler in node.handlers:
            self.run(handler.body)
        self.frame.names = {**self.frame.names, **after}
        self.run(node.orelse)
        self.run(node.finalbody)

    def do_return(self, node: ast.Return) -> None:
        """Keep what the function returns."""
        if node.value is not None:
            self.frame.returned.append(self.evaluate(node.value))

    def do_functiondef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Bind a function of the file."""
        self.frame.names[node.name] = Value(thing=self.function(node.args, node.body))

    do_asyncfunctiondef = do_functiondef

    def function(self, arguments: ast.arguments, body: Sequence[ast.stmt]) -> Function:
        """Return a function that follows its body with the arguments of each call."""
        outer = self.frame
        names = [one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        given = [*arguments.defaults, *(one for one in arguments.kw_defaults if one is not None)]
        defaults = dict(zip(names[len(names) - len(given) :], [self.evaluate(one) for one in given], strict=True))

        def apply(args: list[Value], keywords: dict[str, Value]) -> Value:
            if self.depth >= _MAX_DEPTH:
                return merge([*args, *keywords.values()])
            frame = NameScope(
                {**dict.fromkeys(names, NOTHING), **defaults, **dict(zip(names, args, strict=False)), **keywords}, outer
            )
            return self.called(frame, body)

        return Function(apply)

    def called(self, frame: NameScope, body: Sequence[ast.stmt]) -> Value:
        """Follow the body of a function in its frame, and return what it returns."""
        caller, self.frame, self.depth = self.frame, frame, self.depth + 1
        try:
            self.run(body)
        finally:
            self.frame, self.depth = caller, self.depth - 1
        made = frame.returned
        result = made[0] if made else frame.yielded
        for other in made[1:]:
            result = either(result, other)
        return result if made or frame.yielded is not NOTHING else Value()

    def do_classdef(self, node: ast.ClassDef) -> None:
        """Bind a class: calling it makes a model, or an object whose methods are followed."""
        methods = {one.name: one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
        bases = {ast.unparse(one).rpartition(".")[2] for one in node.bases}
        is_model = bool(bases & tables.MODEL_BASES) or "forward" in methods or {"fit", "predict"} <= methods.keys()
        self.frame.names[node.name] = Value(thing=Function(self._maker(node, methods, is_model=is_model)))

    def _maker(
        self, node: ast.ClassDef, methods: dict[str, "ast.FunctionDef | ast.AsyncFunctionDef"], *, is_model: bool
    ) -> Callable[[list[Value], dict[str, Value]], Value]:
        def make(args: list[Value], keywords: dict[str, Value]) -> Value:
            if is_model:
                return self.network(node.name, node.lineno)
            if "__getitem__" in methods or any("Dataset" in ast.unparse(base) for base in node.bases):
                return merge([*args, *keywords.values()])
            made = Instance({name: Value(thing=self.function(one.args, one.body)) for name, one in methods.items()})
            self.apply(made.methods.get("__init__", NOTHING), [Value(thing=made), *args], keywords)
            return Value(thing=made)

        return make


def with_named_role(value: Value, role: str) -> Value:
    """Return rows with the role that their name states, if a split left it open."""
    if value.items or not value.is_data:
        return value
    split = any("@" in part.path[-1] for part in value.parts if part.path) or bool(value.steps)
    unknown = all(part.role == "" for part in value.parts)
    if "opaque" in value.tags and unknown:
        return replace(value, parts=frozenset(RowSet(one.root, (*one.path, role), role) for one in value.parts))  # type: ignore[arg-type]
    if role == "train" and not unknown:
        return value
    held = any(part.role in ("test", "valid") for part in value.parts) or any(
        one.role != "train" for one in value.steps
    )
    if (split and held) or (unknown and not value.steps and role != "train" and any(one.path for one in value.parts)):
        return with_role(value, role)  # type: ignore[arg-type]
    return value


def _leaves(body: Sequence[ast.stmt]) -> bool:
    """Return whether a branch ends by leaving its block."""
    if not body:
        return False
    last = body[-1]
    exits = isinstance(last, ast.Expr) and ast.unparse(last).startswith(("sys.exit", "exit(", "quit("))
    return isinstance(last, _ENDS) or exits


def _agreed(one: dict[str, Value], other: dict[str, Value]) -> dict[str, Value]:
    both = {name: either(value, other[name]) for name, value in one.items() if name in other}
    return {**one, **other, **both}


def _targets(node: ast.stmt) -> Iterator[ast.expr]:
    if isinstance(node, ast.Assign):
        for target in node.targets:
            yield from target.elts if isinstance(target, ast.Tuple) else [target]
    elif isinstance(node, ast.AnnAssign):
        yield node.target


def _added(body: Sequence[ast.stmt]) -> Iterator[ast.expr]:
    """Yield what statements put into collections."""
    for one in body:
        call = one.value if isinstance(one, ast.Expr) else None
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in _MUTATORS:
            yield from call.args[-1:]


def _root(node: ast.expr) -> ast.expr:
    """Return the name or attribute that an item belongs to: `df` in `df.loc[i, "x"]`."""
    while isinstance(node, ast.Subscript) or (
        isinstance(node, ast.Attribute) and node.attr in ("loc", "iloc", "at", "iat")
    ):
        node = node.value
    return node
