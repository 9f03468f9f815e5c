"""The crashed attempt that is repaired next."""

from ml_intern.search.tree import Attempt, SearchTree


def next_debug(tree: SearchTree, limit: int) -> Attempt | None:
    """Return the latest crashed attempt without a repair after fewer than `limit` repairs in a row."""
    repaired = {parent for one in tree.attempts if one.kind == "debug" for parent in one.parents}
    for one in reversed(tree.attempts):
        crashed = one.state == "crashed" and one.number > 0 and one.number not in repaired
        if crashed and tree.debugs_before(one.number) < limit:
            return one
    return None
