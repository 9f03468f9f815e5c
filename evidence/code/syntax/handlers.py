"""Exception handlers that replace data or weights by something else."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ml_intern.text.word_table import words

_LOADS: Final = words(
    "load read_csv read_parquet read_json read_table loadtxt genfromtxt load_dataset from_pretrained load_model "
    "load_state_dict open load_file read_text get fetch_openml load_from_disk load_data urlopen hf_hub_download "
    "snapshot_download read_excel read_pickle from_file read_bytes read_feather"
)
_MADE_UP: Final = words(
    "normal rand randn random uniform randint integers zeros ones make_classification full make_regression "
    "make_blobs make_moons gauss choice from_config standard_normal choices empty make_circles random_sample "
    "randn_like rand_like zeros_like init_weights load_digits load_iris load_breast_cancer make_friedman1 "
    "fetch_california_housing load_wine load_diabetes"
)


@dataclass(frozen=True)
class Substitution:
    """A handler that binds a name of its `try` block to something else."""

    name: str
    source: str
    """The call that makes the substitute."""
    instead_of: str
    """The call that failed."""
    line: int
    """The first line of the handler's body: the clause itself is also tried for other exceptions."""
    end: int


def substitutions(tree: ast.Module) -> Iterator[Substitution]:
    """Yield the handlers that replace what their `try` block loads."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Try):
            for handler in node.handlers:
                yield from _of_handler(tree, node, handler)


def _of_handler(tree: ast.Module, node: ast.Try, handler: ast.ExceptHandler) -> Iterator[Substitution]:
    wanted = {name: call for name, value in _bound(node.body) if (call := _load_in(tree, value))}
    found = list(_bound(handler.body))
    made = [one for name, value in found if (one := _substitute(tree, value, wanted.get(name, "")))]
    replaced = [name for name, _ in found if name in wanted]
    if made and replaced:
        end = handler.end_lineno or handler.lineno
        yield Substitution(replaced[0], made[0], wanted[replaced[0]], handler.body[0].lineno, end)


def _bound(body: list[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names that statements bind, and what a function returns as the name `the result`."""
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Assign):
                names = [
                    one
                    for target in node.targets
                    for one in ast.walk(target)
                    if isinstance(one, ast.Name | ast.Attribute)
                ]
                yield from ((_name(one), node.value) for one in names if isinstance(one.ctx, ast.Store))
            elif isinstance(node, ast.Return) and node.value is not None:
                yield "the result", node.value
            elif (
                isinstance(node, ast.Expr)
                and isinstance(node.value, ast.Call)
                and isinstance(node.value.func, ast.Attribute)
            ):
                yield f"{_name(node.value.func.value)} ", node.value


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def _load_in(tree: ast.Module, value: ast.expr | None, depth: int = 0) -> str:
    """Return the call in an expression that loads data or weights; also inside functions of the file."""
    for name in _called(value):
        if name in _LOADS or (depth < 2 and _function_loads(tree, name, depth)):
            return name
    return ""


def _function_loads(tree: ast.Module, name: str, depth: int) -> bool:
    return any(bool(_load_in(tree, one.value, depth + 1)) for one in _values_of(tree, name))


def _values_of(tree: ast.Module, name: str) -> list[ast.Assign | ast.Return]:
    """Return the statements with values in the function of this name."""
    found: list[ast.Assign | ast.Return] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            inner = (
                one for one in ast.walk(node) if isinstance(one, ast.Assign | ast.Return) and one.value is not None
            )
            found += inner
    return found


def _called(value: ast.expr | None) -> list[str]:
    if value is None:
        return []
    return [name for node in ast.walk(value) if isinstance(node, ast.Call) and (name := _name(node.func))]


def _substitute(tree: ast.Module, value: ast.expr, loader: str) -> str:
    """Return the call that makes a substitute: random or synthetic values, or the loader with another name."""
    for name in _called(value):
        if name in _MADE_UP:
            return name
        if any(one in _MADE_UP for statement in _values_of(tree, name) for one in _called(statement.value)):
            return name
        if name == loader and name in ("from_pretrained", "load_dataset", "load_model", "hf_hub_download"):
            return f"another {name}"
    return ""
