"""Evaluate the expressions of a script whose values can be determined without running it."""

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final


class _Unknown:
    """The value of an expression that is known only at run time. It is false, and equal only to itself."""

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __bool__(self) -> bool:
        return False


UNKNOWN: Final = _Unknown()
_OPERATORS: Final[Mapping[type, Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}
_MAX_TEXT = 10_000


@dataclass(frozen=True)
class Values:
    """The variables of a script with one constant value, its command-line options and its environment."""

    names: Mapping[str, Any] = field(default_factory=dict[str, Any])
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def of(cls, tree: ast.Module, arguments: tuple[str, ...], environment: Mapping[str, str]) -> "Values":
        """Collect the values in a script. A name assigned more than once is unknown."""
        found = cls({}, {**_defaults(tree), **_given(arguments)}, environment)
        assigned: dict[str, list[ast.expr | None]] = {}
        for node in ast.walk(tree):
            for name, value in _assignments(node):
                assigned.setdefault(name, []).append(value)
        for name, given in assigned.items():
            if len(given) == 1 and given[0] is not None:
                found = cls({**found.names, name: found.of_node(given[0])}, found.options, environment)
        return found

    def of_node(self, node: ast.expr) -> Any:
        """Return the value of an expression, or UNKNOWN."""
        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                return self.names.get(node.id, UNKNOWN)
            case ast.Attribute():
                return self.options.get(node.attr, _torch_type(node))
            case ast.UnaryOp(op=ast.USub()):
                inner = self.of_node(node.operand)
                return -inner if isinstance(inner, int | float) else UNKNOWN
            case ast.BinOp():
                return self._computed(node)
            case ast.List() | ast.Tuple() | ast.Set() | ast.Dict():
                return self._collected(node)
            case ast.Call() | ast.Subscript():
                return self._from_environment(node)
        return UNKNOWN

    def _computed(self, node: ast.BinOp) -> Any:
        left, right, apply = self.of_node(node.left), self.of_node(node.right), _OPERATORS.get(type(node.op))
        numbers = all(isinstance(one, int | float) for one in (left, right))
        texts = all(isinstance(one, str) and len(one) < _MAX_TEXT for one in (left, right)) and apply is operator.add
        if apply is operator.truediv and isinstance(left, str) and isinstance(right, str):
            return f"{left}/{right}"  # the / operator of paths
        if apply is None or not (numbers or texts):
            return UNKNOWN
        try:
            return apply(left, right)
        except (ArithmeticError, ValueError):
            return UNKNOWN

    def _collected(self, node: ast.List | ast.Tuple | ast.Set | ast.Dict) -> Any:
        if isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            return {key.value: self.of_node(value) for key, value in pairs if isinstance(key, ast.Constant)}
        return [self.of_node(one) for one in node.elts]

    def _from_environment(self, node: ast.Call | ast.Subscript) -> Any:
        """Evaluate `os.environ["X"]`, `os.environ.get("X")`, `os.getenv("X")`, and int, float or Path of them."""
        if isinstance(node, ast.Subscript):
            key = self.of_node(node.slice) if ast.unparse(node.value).endswith("environ") else UNKNOWN
            return self.environment.get(key, UNKNOWN) if isinstance(key, str) else UNKNOWN
        called, args = ast.unparse(node.func), [self.of_node(one) for one in node.args]
        if called in ("Path", "pathlib.Path") and len(args) == 1:
            return args[0]
        if called.endswith(("environ.get", "getenv")) and args and isinstance(args[0], str):
            return self.environment.get(args[0], args[1] if len(args) > 1 else None)
        return _number(args[0], int if called == "int" else float) if called in ("int", "float") and args else UNKNOWN


def _number(value: Any, kind: type[int] | type[float]) -> Any:
    if not isinstance(value, str | int | float):
        return UNKNOWN
    try:
        return kind(value)
    except (ValueError, OverflowError):
        return UNKNOWN


def _torch_type(node: ast.Attribute) -> Any:
    """Evaluate `torch.bfloat16` to its name, like the string."""
    kinds = ("bfloat16", "float16", "half", "float32")
    return node.attr if node.attr in kinds and isinstance(node.value, ast.Name) else UNKNOWN


def _assignments(node: ast.AST) -> list[tuple[str, ast.expr | None]]:
    match node:
        case ast.Assign(targets=[ast.Name(id=name)]):
            return [(name, node.value)]
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.NamedExpr(target=ast.Name(id=name)):
            return [(name, node.value)]
        case ast.AugAssign(target=ast.Name(id=name)):
            return [(name, None)]
        case ast.For(target=ast.Name(id=name)) | ast.arg(arg=name):
            return [(name, None)]
    return []


def _defaults(tree: ast.Module) -> dict[str, Any]:
    """Return the defaults of the argparse options."""
    found: dict[str, Any] = {}
    plain = Values()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            flags = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            default = next((plain.of_node(one.value) for one in node.keywords if one.arg == "default"), UNKNOWN)
            found |= {_attribute(flag): default for flag in flags}
    return found


def _given(arguments: tuple[str, ...]) -> dict[str, Any]:
    """Parse the options on a command line: `--name value` and `--name=value`."""
    found: dict[str, Any] = {}
    for place, word in enumerate(arguments):
        if word.startswith("--"):
            name, assigned, value = word.partition("=")
            following = arguments[place + 1] if place + 1 < len(arguments) else ""
            alone = not assigned and (not following or following.startswith("--"))
            found[_attribute(name)] = True if alone else _plain(value if assigned else following)
    return found


def _plain(text: str) -> str | int | float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _attribute(flag: str) -> str:
    return flag.lstrip("-").replace("-", "_")
