"""Files that must not change: named by the user or with --lock. Their digests are recorded at the start of a turn."""

import ast
import asyncio
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ml_intern.evidence.checks.parsing import nodes_of
from ml_intern.evidence.goals import goal_files
from ml_intern.graph.context import RunOptions
from ml_intern.store.evidence.table import EvidenceRow
from ml_intern.store.store import Store
from ml_intern.text.digests import file_digest

_NAME: Final = re.compile(r"(?<![\w/@-])((?:[\w.-]+/)*[\w-][\w.-]*\.[A-Za-z][A-Za-z0-9]{0,9})(?![\w/])")
_KEPT: Final = re.compile(
    r"(?i)(?:do not|don't|must not|never|without|not to|may not|"
    r"shall not)\s+(?:be\s+)?(?:chang\w*|edit\w*|modif\w*|touch\w*|alter\w*|overwrit\w*|writ\w*|delet\w*)"
)
_CLAUSE_END: Final = re.compile(
    r"(?i)(?<=[\w`'\"])[.;!?](?:\s|$)|\n|"
    r"\b(?:except|but|other than|apart from|besides|unless|only|instead|rather|just|then)\b|"
    r",\s*(?:and\s+)?(?:edit|change|fix|write|use|run|modify|update|add|create|put|train|make|report|save)\b"
)
"""The end of what must not change."""
_ONLY: Final = re.compile(
    r"(?i)\b(?:only\s+(?:chang\w*|edit\w*|modif\w*|touch\w*)\s+(?P<a>[\w./-]*\w)|"
    r"(?:chang\w*|edit\w*|modif\w*|touch\w*)\s+(?:only\s+(?P<b>[\w./-]*\w)|(?P<c>[\w./-]*\w)\s+(?:only|alone)\b))"
)
"""Words that allow changes to one file. The tests, evaluators and test data beside it are locked then."""
_TESTS: Final = re.compile(r"(?:^|/)(?:test_[\w.-]*|[\w.-]*_test|conftest)\.py$")
_EVALUATOR: Final = re.compile(r"(?i)(?:^|/)(?:eval\w*|score\w*|grade\w*|judge\w*|benchmark\w*)\.(?:py|sh)$")
_TEST_DATA: Final = re.compile(
    r"(?i)(?:^|/)(?:test|holdout|held_?out|eval)[\w.-]*\.(?:csv|tsv|jsonl?|parquet|npz|npy|txt|arrow)$"
)
_HELPER: Final = re.compile(r"(?i)metric|scor|eval|grad(?:e|ing)|judg")
"""Names of modules that belong to an evaluator which imports them, and not to what it evaluates."""
_MAX_TEXT: Final = 200_000
_MAX_FILES: Final = 500
_DIFF_LINES: Final = 12


def locked_names(user_text: str) -> list[str]:
    """Return the files that a message of the user says must not change."""
    found: list[str] = []
    for match in _KEPT.finditer(user_text):
        clause = _CLAUSE_END.split(user_text[match.end() :])[0]
        found += [one[1] for one in _NAME.finditer(clause)]
    if only := _ONLY.search(user_text):
        allowed = only["a"] or only["b"] or only["c"]
        judging = (name for name in named_files(user_text) if _TESTS.search(name) or _judges(name))
        found += [name for name in judging if name != allowed and "." in allowed]
    return list(dict.fromkeys(found))


def named_files(user_text: str) -> list[str]:
    """Return the names of files in a message."""
    return list(dict.fromkeys(one[1] for one in _NAME.finditer(user_text)))


def watched_names(user_text: str) -> list[str]:
    """Return the evaluators and test data that a message names. They are watched and not locked."""
    return [name for name in named_files(user_text) if _judges(name)]


def _judges(name: str) -> bool:
    return bool(_EVALUATOR.search(name) or _TEST_DATA.search(name))


def locked_files(user_text: str, patterns: Iterable[str], workspace: Path) -> dict[str, dict[str, Any]]:
    """Return path -> {digest, text, kind} of the existing files to lock and to watch."""
    found: dict[str, dict[str, Any]] = {}
    for kind, names in (("lock", [*patterns, *locked_names(user_text)]), ("watch", watched_names(user_text))):
        for name in names:
            for path in _matching(name, workspace):
                if str(path) not in found and len(found) < _MAX_FILES:
                    found[str(path)] = _recorded(path, kind)
    named = {Path(name).name for name in named_files(user_text)}
    helpers = [
        helper for path in found if is_evaluator(path) for helper in _helpers(Path(path)) if helper.name not in named
    ]
    return {str(path): _recorded(path, "watch") for path in helpers} | found


def _recorded(path: Path, kind: str) -> dict[str, Any]:
    return {"digest": _digest(path), "text": _text(path), "kind": kind}


def _helpers(evaluator: Path) -> list[Path]:
    """Return the modules beside an evaluator that it imports and that compute its score, by their names."""
    nodes = nodes_of(_text(evaluator)) if evaluator.suffix == ".py" else ()
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    paths = (evaluator.parent / f"{name.replace('.', '/')}.py" for name in sorted(names) if _HELPER.search(name))
    return [path for path in paths if path.is_file()]


def _matching(name: str, workspace: Path) -> list[Path]:
    if any(mark in name for mark in "*?["):
        paths = sorted(workspace.glob(name))
    else:
        place = workspace / name
        paths = sorted(place.rglob("*")) if place.is_dir() else [place]
    return [path.resolve() for path in paths if path.is_file()][:_MAX_FILES]


def is_evaluator(path: str) -> bool:
    """Return whether a file is an evaluator by its name."""
    return bool(_EVALUATOR.search(path))


def is_test_data(path: str) -> bool:
    """Return whether a file has test data by its name."""
    return bool(_TEST_DATA.search(path))


async def record_locks(store: Store, thread_id: str, user_text: str, options: RunOptions) -> None:
    """Record the digests of the files to lock and to watch, as they are before the turn. Known ones stay."""
    if options.verify != "off" and not options.child:
        workspace = Path(options.workspace).resolve()
        patterns = [*options.locks, *(goal_files(options.goal, workspace) if options.goal else ())]
        found = await asyncio.to_thread(locked_files, user_text, patterns, workspace)
        await store.evidence.add_missing(thread_id, "lock", found)


def changed_locks(rows: Sequence[EvidenceRow], workspace: Path) -> tuple[list[str], list[str]]:
    """Return the changed locked files and the changed watched files, one line each, with the first changed lines."""
    lines: Mapping[str, list[str]] = {"lock": [], "watch": []}
    for row in rows:
        path = Path(row.ref)
        name = str(path).removeprefix(f"{workspace}/")
        now = _digest(path)
        if now != row.body["digest"]:
            what = "was removed" if not now else "was changed"
            allowed = ", as the user allowed" if row.body.get("unlocked") else ""
            lines[row.body["kind"]].append(
                f"{name} {what} since the start of the task{allowed}{_difference(row, path)}"
            )
    return lines["lock"], lines["watch"]


def changed_paths(rows: Sequence[EvidenceRow]) -> list[Path]:
    """Return the locked and watched files that are not as they were recorded."""
    return [path for row in rows if _digest(path := Path(row.ref)) != row.body["digest"]]


def _difference(row: EvidenceRow, path: Path) -> str:
    before, after = str(row.body["text"]), _text(path)
    if not before or not after:
        return ""
    diff = difflib.unified_diff(before.splitlines(), after.splitlines(), "", "", lineterm="", n=0)
    changed = [line for line in diff if not line.startswith(("---", "+++", "@@"))]
    return f": {'; '.join(line[:100] for line in changed[:_DIFF_LINES])}" if changed else ""


def _digest(path: Path) -> str:
    try:
        return file_digest(path) if path.is_file() else ""
    except OSError:
        return ""


def _text(path: Path) -> str:
    try:
        if path.stat().st_size <= _MAX_TEXT:
            return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    return ""
