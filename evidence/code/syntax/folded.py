"""The numbers that code computes from its own constants, as 194 / 200: nothing measures them."""

import ast
import operator
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

_OPERATIONS: Final[Mapping[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_CONVERSIONS: Final = frozenset({"float", "round", "str", "Decimal"})
_DECIMAL: Final = re.compile(r"\d*\.\d+")
_MAX_DEPTH: Final = 20
_MAX_TEXT: Final = 200
_MAX_NUMBER: Final = 1e15


def folded_numbers(nodes: Sequence[ast.AST]) -> frozenset[float]:
    """Return the results of the operations in a script whose operands are constants or names of one constant."""
    names = _assigned_once(nodes)
    found = [_folded(node, names, 0) for node in nodes if isinstance(node, ast.BinOp)]
    numbers = [one for one in found if isinstance(one, int | float)]
    return frozenset([*numbers, *_in_texts(one for one in found if isinstance(one, str))])


def _in_texts(texts: Iterable[str]) -> list[float]:
    return [float(number) for text in texts for number in _DECIMAL.findall(text)]


def _assigned_once(nodes: Sequence[ast.AST]) -> dict[str, ast.expr]:
    """Return the names that are bound at one place only, each with the expression."""
    bound = Counter(node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    bound.update(node.arg for node in nodes if isinstance(node, ast.arg))
    return {
        node.targets[0].id: node.value
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and bound[node.targets[0].id] == 1
    }


def _folded(node: ast.expr, names: Mapping[str, ast.expr], depth: int) -> float | str | None:
    """Return the value of an expression of constants, or None."""
    if depth > _MAX_DEPTH:
        return None
    match node:
        case ast.Constant(value=bool()):
            return None
        case ast.Constant(value=int() | float() | str() as constant):
            return constant
        case ast.Name(id=name) if name in names:
            return _folded(names[name], names, depth + 1)
        case ast.Call(func=ast.Name(id=name), args=[first, *_]) if name in _CONVERSIONS:
            return _folded(first, names, depth + 1)
        case ast.BinOp() if type(node.op) in _OPERATIONS:
            sides = _folded(node.left, names, depth + 1), _folded(node.right, names, depth + 1)
            return None if None in sides else _result(node.op, *sides)
    return None


def _result(operation: ast.operator, one: Any, other: Any) -> float | str | None:
    if isinstance(one, str) is not isinstance(other, str) or (
        isinstance(one, str) and not isinstance(operation, ast.Add)
    ):
        return None
    try:
        made = _OPERATIONS[type(operation)](one, other)
    except ArithmeticError:
        return None
    if isinstance(made, str):
        return made if len(made) <= _MAX_TEXT else None
    return made if abs(made) <= _MAX_NUMBER else None
