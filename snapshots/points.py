"""The sequence of snapshots of the undone turns, and the files that were changed between the turns.

A snapshot is taken when a turn starts, ends, waits for an approval and continues. Changes between a start and an end
are the turn's. Changes between an end and the next start, or between the last end and now, are not: the user or another
program made them. Where a start or an end is missing, as after a crash, the changes count as the turn's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ml_intern.snapshots.records import Record
from ml_intern.snapshots.scan import parent_of
from ml_intern.snapshots.trees import Change, ShadowRepository, Tree


@dataclass
class Outside:
    """Files that changed outside the turns."""

    paths: set[bytes] = field(default_factory=set[bytes])
    folders: set[bytes] = field(default_factory=set[bytes])
    """Empty folders that were created, removed or filled."""
    is_complete: bool = True
    """False if a start or an end was not recorded, so that some of these changes may count as the turn's."""


def find_outside(shadow: ShadowRepository, points: Sequence[Record], now: Tree) -> Outside:
    """Compare the snapshots of the turns, oldest first, and the current files."""
    outside = Outside()
    for before, after in pairwise([*points, Record("", 0, now)]):
        if before.kind == after.kind or before.tree is None or after.tree is None:
            outside.is_complete = False
        elif before.kind == "end":
            _compare(shadow, before.tree, after.tree, outside)
    return outside


def _compare(shadow: ShadowRepository, before: Tree, after: Tree, outside: Outside) -> None:
    """Add the differences between the end of a turn and the next start."""
    changes = shadow.diff(before.id, after.id) if before.id != after.id else []
    outside.paths.update(change.path for change in changes if _is_certain(change, before, after))
    emptied = {parent_of(change.path) for change in changes if change.status == "D"}
    outside.folders.update((set(before.empty) ^ set(after.empty)) - emptied)


def _is_certain(change: Change, before: Tree, after: Tree) -> bool:
    """Return whether a file that only one tree contains was created or deleted, and not only excluded or included."""
    if change.status in {"A", "D"}:
        other = before if change.status == "A" else after
        return not other.exclusion_reason(change.path, ignored=True)
    return True
