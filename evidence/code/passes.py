"""Whether what a loop collects is another part of the data in each pass, or the same rows again."""

import ast
from collections.abc import Callable, Iterator
from typing import Final

from ml_intern.text.word_table import words

_PICKS: Final = words("select query get_group shard filter skip take row xs sample nth iloc loc item __getitem__")
"""Methods of data that return other rows for other arguments."""
_ADVANCES: Final = words("next pop popleft popitem get readline read")
"""Calls that return something else each time."""


class LoopPasses:
    """The names that differ between the passes of each loop around the current statement."""

    def __init__(self, has_rows: Callable[[str], bool]) -> None:
        self._has_rows = has_rows
        self._loops: list[set[str]] = []
        self._made: dict[str, int] = {}
        """How many loops are around the statement that made a name."""

    def enter(self, target: ast.expr, iterable: ast.expr) -> None:
        """Begin a loop."""
        names = set(_names(target))
        for known in self._loops:
            if self._differs(iterable, known):
                known.update(names)
        self._loops.append(names)

    def leave(self) -> None:
        """End the innermost loop."""
        self._loops.pop()

    def bind(self, target: ast.expr, value: ast.expr) -> None:
        """Note an assignment."""
        names = set(_names(target))
        self._made |= dict.fromkeys(names, len(self._loops))
        for known in self._loops:
            if self._differs(value, known):
                known.update(names)
            else:
                known.difference_update(names)

    def grow(self, collection: ast.expr, added: ast.expr) -> bool:
        """Note that a collection gets an element. Return whether no loop adds the same rows again in its next pass."""
        name = collection.id if isinstance(collection, ast.Name) else ""
        first = self._made.get(name, 0) if name else len(self._loops) - 1
        once = not any(self.repeats(added, known) for known in self._loops[max(first, 0) :])
        for known in self._loops:
            if name and self._differs(added, known):
                known.add(name)
        return once

    def repeats(self, node: ast.AST, known: set[str]) -> bool:
        """Return whether an expression uses rows as a whole, and not a part that names in `known` pick."""
        if isinstance(node, ast.Name):
            return node.id not in known and self._has_rows(node.id)
        if isinstance(node, ast.Subscript) and known & {*_names(node.slice)}:
            return False
        if isinstance(node, ast.Call) and _picks(node, known):
            return False
        return any(self.repeats(one, known) for one in ast.iter_child_nodes(node))

    def _differs(self, node: ast.expr, known: set[str]) -> bool:
        """Return whether an expression gives something else in each pass."""
        uses = bool(known & {*_names(node)}) or any(_advances(one) for one in ast.walk(node))
        return uses and not self.repeats(node, known)


def _picks(node: ast.Call, known: set[str]) -> bool:
    """Return whether a call gives other rows in each pass."""
    given = {name for one in (*node.args, *(word.value for word in node.keywords)) for name in _names(one)}
    is_method = isinstance(node.func, ast.Attribute) and node.func.attr in _PICKS
    return _advances(node) or (is_method and bool(known & given))


def _advances(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in _ADVANCES


def _names(node: ast.AST) -> Iterator[str]:
    return (one.id for one in ast.walk(node) if isinstance(one, ast.Name))
