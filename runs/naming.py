"""Find a run or an experiment by the id, id prefix or name that the user typed. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from ml_intern.configs.errors import UsageError
from ml_intern.text.formatting import listed

MAX_CANDIDATES: Final = 5
_SHORT: Final = 8


class Named(Protocol):
    """A row with an id and a name that other rows may have too."""

    @property
    def id(self) -> str:
        """Return the id."""
        ...

    @property
    def name(self) -> str:
        """Return the name; it may be empty."""
        ...

    @property
    def thread_id(self) -> str:
        """Return the thread it belongs to."""
        ...


T = TypeVar("T", bound=Named)


@dataclass(frozen=True)
class Choice(Generic[T]):
    """The chosen row, and a note for the user when others have the same name."""

    row: T
    note: str = ""


def short(id: str) -> str:
    """Shorten an id for lists."""
    return id if id.startswith("run-") else id[:_SHORT]


def choose(text: str, rows: Sequence[T], noun: str, *, latest: bool = True) -> Choice[T]:
    """Choose by exact id, else by name, else by id prefix. `rows` are in order of time.

    When several have the name, the latest is chosen, with a note that lists them. An id prefix must be unique; without
    `latest`, a name too.

    Raises:
        UsageError: none or several match.
    """
    if exact := [row for row in rows if row.id == text]:
        return Choice(exact[0])
    named = [row for row in rows if text and row.name == text]
    found = named or [row for row in rows if text and row.id.startswith(text)]
    if not found:
        raise UsageError(f"no {noun} matches {text!r}", _known(rows, noun))
    if len(found) == 1:
        return Choice(found[0])
    if named and latest:
        return Choice(named[-1], f"{text!r} names several {noun}s: {_listed(named)}; using the latest")
    remedy = "name one by its id" if named else "use a longer part of the id"
    raise UsageError(f"{text!r} matches several {noun}s: {_listed(found)}", remedy)


def _listed(rows: Sequence[Named]) -> str:
    """List rows with their threads, the latest first."""
    return listed([f"{row.id} (thread {short(row.thread_id)})" for row in reversed(rows)], MAX_CANDIDATES)


def _known(rows: Sequence[Named], noun: str) -> str:
    if not rows:
        return f"there are no {noun}s yet"
    return f"use one of {listed([short(row.id) for row in reversed(rows)], MAX_CANDIDATES)}"
