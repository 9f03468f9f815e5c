"""How metrics of several classes are averaged."""

import ast
from collections.abc import Iterator, Sequence
from typing import Final

_METRICS: Final = {"f1_score": "f1", "fbeta_score": "f1", "precision_score": "precision", "recall_score": "recall"}
_REPORTS: Final = frozenset({"classification_report", "precision_recall_fscore_support"})
UNKNOWN: Final = "?"


def averages(nodes: Sequence[ast.AST]) -> Iterator[tuple[str, str, int]]:
    """Yield metric, averaging and line of each metric; the averaging is UNKNOWN if constants do not decide it."""
    inner = {id(one) for node in nodes if isinstance(node, ast.ListComp | ast.For) for one in ast.walk(node)}
    for node in nodes:
        name = _name(node)
        if name in _METRICS and isinstance(node, ast.Call):
            given = next((one.value for one in node.keywords if one.arg == "average"), ast.Constant("binary"))
            known = isinstance(given, ast.Constant) and isinstance(given.value, str) and id(node) not in inner
            yield (
                _METRICS[name],
                str(given.value) if known and isinstance(given, ast.Constant) else UNKNOWN,
                node.lineno,
            )
        elif name in _REPORTS and isinstance(node, ast.Call):
            yield from ((metric, UNKNOWN, node.lineno) for metric in ("f1", "precision", "recall"))


def _name(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
