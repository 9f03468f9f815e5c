"""Check a statement on this machine: the digests of the artifact and of the other files that are here."""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from ml_intern.configs.errors import UsageError
from ml_intern.evidence.statement.build import PREDICATE_TYPE, STATEMENT_TYPE
from ml_intern.text.digests import content_digest

ItemState = Literal["agrees", "changed", "missing", "not checked"]
_MAX_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True)
class CheckedItem:
    """One line of a check: a file or a number of the statement, its state, and why."""

    name: str
    role: str
    """artifact, code, data, output, locked, watched, or number."""
    state: ItemState
    why: str = ""


@dataclass(frozen=True)
class StatementCheck:
    """The result of a check. `verdict` is the verdict that the statement contains."""

    file: str
    root: str
    items: tuple[CheckedItem, ...]
    verdict: Mapping[str, Any]

    @property
    def exit_code(self) -> int:
        """Return 4 if something changed or disagrees, 1 if an artifact is missing, else 0."""
        states = {(one.state, one.role == "artifact") for one in self.items}
        if any(state == "changed" for state, _ in states):
            return 4
        return 1 if ("missing", True) in states else 0

    def as_data(self) -> dict[str, Any]:
        """Return the check as JSON."""
        return {**asdict(self), "items": [asdict(one) for one in self.items], "exit_code": self.exit_code}


def check_statement(file: Path, root: Path | None = None) -> StatementCheck:
    """Compare the files that a statement names with those here. `root` is the folder that the names are relative to.

    Raises UsageError if the file cannot be read or is not a statement of ml-intern.
    """
    content = read_statement(file)
    root = root or _root(file, content)
    named = [(one, "artifact") for one in content["subject"]]
    named += [(one, str(one["role"])) for one in content["predicate"]["files"]]
    names = {str(one["name"]) for one, _ in named}
    items = [_checked(one, role, root, find_file(str(one["name"]), root, file, names)) for one, role in named]
    items += _recorded(content)
    return StatementCheck(str(file), str(root), tuple(items), content["predicate"]["verdict"])


def read_statement(file: Path) -> dict[str, Any]:
    """Return the content of a statement. Raises UsageError."""
    remedy = "name a file that ml-intern wrote beside an artifact, such as model.joblib.intoto.json"
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise UsageError(f"{file} is too large for a statement", remedy)
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}", remedy) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file} is not JSON", remedy) from error
    if problem := _problem(found):
        raise UsageError(f"{file} {problem}", remedy)
    return dict(found)


def _problem(found: Any) -> str:
    """Return why a value is not a statement of ml-intern, or ""."""
    if not isinstance(found, dict) or found.get("_type") != STATEMENT_TYPE:
        return "is not an in-toto statement"
    if found.get("predicateType") != PREDICATE_TYPE:
        return f"has the predicate type {str(found.get('predicateType'))[:100]!r}, not {PREDICATE_TYPE!r}"
    predicate = found.get("predicate")
    if not isinstance(predicate, dict) or not isinstance(predicate.get("verdict"), dict):
        return "is damaged: it has no verdict"
    subject = found.get("subject")
    if not subject or not _are_files(subject):
        return "is damaged: it does not name an artifact"
    files, locks = predicate.get("files"), predicate.get("locks")
    if not isinstance(files, list) or not _are_files(files) or not isinstance(locks, list):
        return "is damaged: the list of files cannot be read"
    if not all("role" in one for one in files):
        return "is damaged: the list of files cannot be read"
    return ""


def _are_files(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) and _is_file(one) for one in value)


def _is_file(one: Mapping[str, Any]) -> bool:
    digest = one.get("digest")
    return isinstance(one.get("name"), str) and isinstance(digest, dict) and isinstance(digest.get("sha256"), str)


def _root(file: Path, content: Mapping[str, Any]) -> Path:
    """Return the folder that the names are relative to: above the statement, as deep as the artifact's name says."""
    parts = Path(content["subject"][0]["name"]).parts[:-1]
    folder = file.resolve().parent
    above = Path(*folder.parts[: len(folder.parts) - len(parts)])
    return above if above.joinpath(*parts) == folder else folder


def _checked(one: Mapping[str, Any], role: str, root: Path, path: Path | None) -> CheckedItem:
    name = str(one["name"])
    if path is None:
        state: ItemState = "missing" if role == "artifact" else "not checked"
        return CheckedItem(name, role, state, f"it is not in {root}" if role == "artifact" else "it is not here")
    try:
        same = content_digest(path) == one["digest"]["sha256"]
    except OSError as error:
        return CheckedItem(name, role, "missing", f"it cannot be read: {error.strerror}")
    return CheckedItem(
        name, role, "agrees" if same else "changed", "" if same else "its content differs from the statement"
    )


def find_file(name: str, root: Path, file: Path, names: Collection[str]) -> Path | None:
    """Return the file of a statement on this machine: below the root, or else beside the statement.

    A file beside it that has its place there by another one of the statement's `names` is not taken.
    """
    if ".." in Path(name).parts or Path(name).is_absolute():
        return None
    inside, beside = root / name, file.resolve().parent / Path(name).name
    taken = {(root / one).resolve() for one in names}
    places = [inside] if beside in taken else [inside, beside]
    return next((path for path in places if path.is_file()), None)


def _recorded(content: Mapping[str, Any]) -> Iterator[CheckedItem]:
    """Yield the locked files that the statement itself shows as changed during the task."""
    final = {one["name"]: one["digest"]["sha256"] for one in content["predicate"]["files"]}
    for lock in content["predicate"]["locks"]:
        if not (isinstance(lock, dict) and _is_file(lock) and lock.get("kind") == "lock"):
            continue
        if final.get(lock["name"], lock["digest"]["sha256"]) != lock["digest"]["sha256"]:
            yield CheckedItem(lock["name"], "locked", "changed", "it was changed during the task")
