"""Write the statement about delivered artifacts beside them, where the policy and the locks allow it."""

import json
import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from ml_intern.evidence.observations import Observations
from ml_intern.evidence.statement.build import PREDICATE_TYPE, SUFFIX, as_text, delivered_artifacts, statement
from ml_intern.evidence.verdict import AnswerVerdict
from ml_intern.graph.limits import reaches
from ml_intern.safety.files.disk import disk_facts
from ml_intern.safety.files.protected import Place, find_control


def write_statements(answer: str, seen: Observations, verdict: AnswerVerdict) -> tuple[list[str], list[str]]:
    """Write one statement for each folder with delivered artifacts. Nothing is written below the level `standard`.

    Return the names of the written files, and one line for each statement that was not written.
    """
    written: list[str] = []
    problems: list[str] = []
    if not reaches(verdict.level, "standard"):
        return written, problems
    for artifacts in _by_folder(delivered_artifacts(answer, seen)):
        place = _place(artifacts)
        name = seen.short(place)
        if why := _refusal(place, seen):
            problems.append(f"{name} was not written: {why}")
            continue
        try:
            _replace(place, as_text(statement(artifacts, seen, verdict)))
            written.append(name)
        except OSError as error:
            problems.append(f"{name} was not written: {error.strerror or error}")
    return written, problems


def _by_folder(paths: Sequence[Path]) -> Iterator[list[Path]]:
    for _, group in groupby(sorted(paths, key=lambda path: (str(path.parent), path.name)), lambda path: path.parent):
        yield list(group)


def _place(artifacts: Sequence[Path]) -> Path:
    name = artifacts[0].name if len(artifacts) == 1 else "evidence"
    return artifacts[0].with_name(f"{name}{SUFFIX}")


def _refusal(place: Path, seen: Observations) -> str:
    """Return why a statement must not be written to this path, or ""."""
    folder = Path(os.path.realpath(place.parent))
    if not any(folder.is_relative_to(root) for root in (seen.workspace, *seen.roots)):
        return "it is outside the working folder"
    roots = tuple(map(str, seen.roots))
    if control := find_control(str(folder / place.name), Place(str(seen.workspace), roots, disk_facts())):
        return f"it is protected, because {control.why}"
    if any(row.ref == str(place) and row.body["kind"] == "lock" for row in seen.locks):
        return "it is locked"
    return "" if not os.path.lexists(place) or _is_own(place) else "there is another file of this name"


def _is_own(place: Path) -> bool:
    """Whether a file is a statement of ml-intern, which may be replaced."""
    try:
        found = json.loads(place.read_text(encoding="utf-8")) if not place.is_symlink() else None
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("predicateType") == PREDICATE_TYPE


def _replace(place: Path, text: str) -> None:
    """Write a file so that it is whole or unchanged. A link with the name of the new file is not followed."""
    new = place.with_name(f".{place.name}.new")
    new.unlink(missing_ok=True)
    try:
        with new.open("x", encoding="utf-8") as file:
            file.write(text)
        new.replace(place)
    finally:
        new.unlink(missing_ok=True)
