"""Perplexities of words whose exponent is divided by the number of characters."""

import ast
from collections.abc import Iterator, Mapping
from typing import Final

_READS: Final = frozenset({"read", "read_text"})
_TOKENISERS: Final = frozenset({"split", "findall", "tokenize", "word_tokenize", "encode", "tokenizer"})
_MAX_DEPTH: Final = 4


def character_counts(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield texts that the script splits into words, and whose characters divide an exponent; with their lines."""
    values = _values(tree)
    words = {_text(one, values) for node in ast.walk(tree) if isinstance(node, ast.Call) for one in _split(node)}
    for node in ast.walk(tree):
        exponent = _exponent(node)
        for divisor in _divisors(exponent, values, 0) if exponent is not None else ():
            if (text := _text(divisor, values)) and text in words:
                yield ast.unparse(divisor), node.lineno  # type: ignore[attr-defined]


def _values(tree: ast.Module) -> Mapping[str, ast.expr]:
    """Return the names that are bound once, with what they are bound to."""
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, []).append(node.value)
    return {name: values[0] for name, values in found.items() if len(values) == 1}


def _split(node: ast.Call) -> Iterator[ast.expr]:
    """Yield what a call splits into words or tokens."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in _TOKENISERS:
        yield from node.args
        if isinstance(node.func, ast.Attribute):
            yield node.func.value


def _text(node: ast.expr, values: Mapping[str, ast.expr]) -> str:
    """Return the expression that reads a text, or "" for anything else."""
    value = values.get(node.id, node) if isinstance(node, ast.Name) else node
    reads = isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in _READS
    return ast.unparse(value) if reads else ""


def _exponent(node: ast.AST) -> ast.expr | None:
    if isinstance(node, ast.Call) and node.args and ast.unparse(node.func).rpartition(".")[2] in ("exp", "exp2"):
        return node.args[0]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and isinstance(node.left, ast.Constant):
        return node.right
    return None


def _divisors(node: ast.expr, values: Mapping[str, ast.expr], depth: int) -> Iterator[ast.expr]:
    """Yield the arguments of `len` that an expression divides by, also in the names that it uses."""
    for one in ast.walk(node):
        if isinstance(one, ast.BinOp) and isinstance(one.op, ast.Div):
            right = values.get(one.right.id, one.right) if isinstance(one.right, ast.Name) else one.right
            if isinstance(right, ast.Call) and ast.unparse(right.func) == "len" and right.args:
                yield right.args[0]
        if isinstance(one, ast.Name) and one.id in values and depth < _MAX_DEPTH:
            yield from _divisors(values[one.id], values, depth + 1)
