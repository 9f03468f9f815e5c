"""Seeds that a script states and never uses."""

import ast
from collections.abc import Iterator

from ml_intern.evidence.code import tables


def unused_seeds(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield variables named as a seed, with a whole number, that nothing but output reads; with their lines."""
    shown = {id(name) for node in ast.walk(tree) for name in _shown(node)}
    read = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and id(node) not in shown
    }
    if not _is_random(tree):
        return
    for name, line in _stated(tree):
        if name not in read:
            yield name, line


def _stated(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in tree.body:
        if (
            not isinstance(node, ast.Assign)
            or not isinstance(node.value, ast.Constant)
            or type(node.value.value) is not int
        ):
            continue
        for target in node.targets:
            if isinstance(target, ast.Name) and tables.SEED_NAMES.match(target.id):
                yield target.id, node.lineno


def _shown(node: ast.AST) -> Iterator[ast.Name]:
    """Yield the names that are only printed or written as text."""
    if isinstance(node, ast.FormattedValue) or (
        isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("print", "json.dump", "json.dumps", "logging.info", "log")
    ):
        yield from (one for one in ast.walk(node) if isinstance(one, ast.Name))


def _is_random(tree: ast.Module) -> bool:
    """Return whether the script fits something or draws random numbers."""
    called = {
        node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    return bool(
        called & {"fit", "partial_fit", "train", "backward", "shuffle", "normal", "rand", "randn", "choice", "sample"}
    )
