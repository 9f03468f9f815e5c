"""Find code that replaces a function of a library, or a file that takes the name of one."""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from ml_intern.evidence.checks.parsing import nodes_of
from ml_intern.evidence.findings import Finding
from ml_intern.evidence.observations import Execution, Observations
from ml_intern.text.word_table import words

_METRIC_LIBRARIES: Final = words(
    "numpy scipy sklearn torch torchmetrics evaluate sacrebleu rouge_score nltk math statistics pandas "
    "datasets transformers jiwer seqeval unittest pytest random json builtins"
)
_BOTH: Final = 2


def patched_findings(seen: Observations, used: list[Execution]) -> Iterator[Finding]:
    """Yield the library functions that the code of the executions replaced."""
    known: set[str] = set()
    for run in used:
        for path, code in seen.sources(run):
            for name, line in _replaced(code):
                if f"{path}:{line}" not in known:
                    known.add(f"{path}:{line}")
                    message = f"{run.name} ran code that replaces {name}"
                    yield Finding("patched library", message, path, line, "contradiction")
        for path in sorted(run.opened):
            if path.endswith(".py") and (name := _shadowed(Path(path), run.folder)):
                yield Finding(
                    "shadowed library", f"{run.name} used {seen.short(path)} as {name}", level="contradiction"
                )


def _replaced(code: str) -> Iterator[tuple[str, int]]:
    """Yield the attributes of imported libraries that code assigns to, with their lines."""
    nodes = nodes_of(code)
    libraries = _imported(nodes)
    for node in nodes:
        for target, names in _targets(node):
            root, path = _chain(target)
            library = libraries.get(root, "")
            changed = (*path, *names)
            if changed and library.split(".")[0] in _METRIC_LIBRARIES and not _is_setting(changed):
                yield ".".join((library, *changed)), node.lineno  # type: ignore[attr-defined]


def _targets(node: ast.AST) -> Iterator[tuple[ast.AST, tuple[str, ...]]]:
    """Yield what a statement assigns to, and the attribute that setattr names."""
    if isinstance(node, ast.Assign):
        yield from ((target, ()) for target in node.targets if isinstance(target, ast.Attribute))
    elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Attribute):
        yield node.target, ()
    elif isinstance(node, ast.Call) and _is_setattr(node):
        yield node.args[0], (ast.unparse(node.args[1]).strip("'\""),)


def _is_setattr(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id == "setattr" and len(node.args) > _BOTH


def _is_setting(names: tuple[str, ...]) -> bool:
    """Whether an attribute is a documented switch of a library, such as torch.backends.cudnn.deterministic."""
    return "backends" in names or "options" in names or "config" in names or names[-1] in ("environ", "maxsize")


def _imported(nodes: Sequence[ast.AST]) -> dict[str, str]:
    """Return local name -> module of the imports."""
    found: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for one in node.names:
                found[one.asname or one.name.split(".")[0]] = one.name if one.asname else one.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for one in node.names:
                found[one.asname or one.name] = f"{node.module}.{one.name}"
    return found


def _chain(node: ast.AST) -> tuple[str, tuple[str, ...]]:
    """Return the first name of an attribute and those after it."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, tuple(reversed(names))) if isinstance(node, ast.Name) else ("", ())


def _shadowed(path: Path, folder: Path) -> str:
    """Return the library whose name a file beside the script takes, or ""."""
    name = path.parent.name if path.name == "__init__.py" else path.stem
    place = path.parent.parent if path.name == "__init__.py" else path.parent
    return name if place == folder and name in _METRIC_LIBRARIES - {"evaluate", "datasets"} else ""
