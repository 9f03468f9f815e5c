"""The attempts that may be combined: accepted changes of which neither contains the other."""

from collections.abc import Iterator, Sequence
from itertools import combinations

from ml_intern.search.tree import Attempt, SearchTree


def ancestors(tree: SearchTree, number: int) -> frozenset[int]:
    """Return an attempt and all attempts that it contains, by every parent."""
    found, open_ones = set[int](), [number]
    while open_ones:
        one = open_ones.pop()
        if one not in found:
            found.add(one)
            open_ones.extend(tree[one].parents)
    return frozenset(found)


def untried_pairs(tree: SearchTree, among: Sequence[Attempt]) -> Iterator[tuple[int, int]]:
    """Yield the pairs that no attempt combines yet and of which neither contains the other, in order of numbers."""
    tried = {frozenset(one.parents) for one in tree.attempts if one.kind == "combine"}
    contained = {one.number: ancestors(tree, one.number) for one in among}
    for first, second in combinations(sorted(contained), 2):
        apart = first not in contained[second] and second not in contained[first]
        if apart and frozenset((first, second)) not in tried:
            yield first, second
