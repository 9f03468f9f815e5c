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


def untried_near_miss(tree: SearchTree, best: Attempt) -> Attempt | None:
    """Return the near miss with the largest gain that the best attempt does not contain and nothing combines yet."""
    tried = {parent for one in tree.attempts if one.kind == "combine" for parent in one.parents}
    inside = ancestors(tree, best.number)

    def is_left(one: Attempt) -> bool:
        return one.near and one.number not in tried and best.number not in ancestors(tree, one.number)

    def gain(one: Attempt) -> float:
        before = tree.compared_with(one.number)
        return tree.objective.gain(one.score.mean, before.score.mean) if one.score and before and before.score else 0.0

    left = [one for one in tree.attempts if is_left(one) and one.number not in inside and one.score is not None]
    return max(left, key=gain, default=None)


def untried_pairs(tree: SearchTree, among: Sequence[Attempt]) -> Iterator[tuple[int, int]]:
    """Yield the pairs that no attempt combines yet and of which neither contains the other, in order of numbers."""
    tried = {frozenset(one.parents) for one in tree.attempts if one.kind == "combine"}
    contained = {one.number: ancestors(tree, one.number) for one in among}
    for first, second in combinations(sorted(contained), 2):
        apart = first not in contained[second] and second not in contained[first]
        if apart and frozenset((first, second)) not in tried:
            yield first, second
