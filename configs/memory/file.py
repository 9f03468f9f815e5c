"""The memory of a folder: a Markdown file in the data folder, which the user can read and edit."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ml_intern.configs.errors import ConfigurationError, UsageError
from ml_intern.configs.memory.facts import Fact, facts_in, replaced
from ml_intern.configs.paths import data_home, private_folder, replace_file

_NAME_CHARACTERS = 40


def memory_file(folder: Path) -> Path:
    """Return the file of `folder`; it may not exist. A linked git work tree shares the file of its main work tree."""
    place = _main_work_tree(folder.resolve())
    digest = hashlib.sha256(os.fsencode(place)).hexdigest()[:12]
    return data_home() / "memory" / f"{place.name[:_NAME_CHARACTERS] or 'root'}-{digest}.md"


def read_memory(folder: Path) -> str:
    """Return the text of the memory of `folder`; empty when there is none.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    path = memory_file(folder)
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}", "fix or remove it") from error


def remember(folder: Path, fact: Fact, *, contradicts: int = 0) -> None:
    """Add a fact, and mark the one with number `contradicts` as contradicted. A fact that is there is not added again.

    Raises:
        UsageError: there is no fact with this number.
        ConfigurationError: the file cannot be read or written.
    """
    with _changing(folder) as lines:
        text = lines[0]
        if contradicts:
            text = replaced(text, contradicts, replace(_fact(text, contradicts), contradicted=fact.date))
        known = {one.text for one in facts_in(text).values() if not one.contradicted}
        lines[0] = text if fact.text in known else f"{text}{fact.line}\n"


def forget(folder: Path, number: int) -> Fact:
    """Remove the fact with this number and return it.

    Raises:
        UsageError: there is no fact with this number.
        ConfigurationError: the file cannot be read or written.
    """
    with _changing(folder) as lines:
        fact = _fact(lines[0], number)
        lines[0] = replaced(lines[0], number, None)
        return fact


def create_memory(folder: Path) -> Path:
    """Create the file of `folder` if it does not exist, and return it. Raises ConfigurationError if that fails."""
    with _changing(folder):
        return memory_file(folder)


def _fact(text: str, number: int) -> Fact:
    facts = facts_in(text)
    if number not in facts:
        raise UsageError(f"there is no fact {number}; there are {len(facts)}")
    return facts[number]


@contextmanager
def _changing(folder: Path) -> Iterator[list[str]]:
    """Yield the text of the file in a list; what is in the list at the end is written. Other processes wait."""
    path = memory_file(folder)
    try:
        private_folder(path.parent)
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            text = read_memory(folder) or f"# What was learned in {_main_work_tree(folder.resolve())}\n\n"
            held = [text if text.endswith("\n") else f"{text}\n"]
            yield held
            replace_file(path, held[0])
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}", "free space or fix its rights") from error


def _main_work_tree(folder: Path) -> Path:
    """Return the main work tree of a linked git work tree that the main repository knows; else the folder itself."""
    try:
        pointer = (folder / ".git").read_text(encoding="utf-8")
        linked = Path(pointer.removeprefix("gitdir:").strip())
        known = Path((linked / "gitdir").read_text(encoding="utf-8").strip())
        common = (linked / (linked / "commondir").read_text(encoding="utf-8").strip()).resolve()
    except (OSError, UnicodeDecodeError):
        return folder  # not a linked work tree
    return common.parent if known.resolve() == folder / ".git" and common.name == ".git" else folder
