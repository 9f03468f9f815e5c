"""The interface of the policies."""

from dataclasses import dataclass
from random import Random
from typing import Protocol

from ml_intern.search.tree import Kind, SearchTree


@dataclass(frozen=True)
class NextAttempt:
    """The kind and the parents of the next attempt. The idea comes from the proposer."""

    kind: Kind
    parents: tuple[int, ...]


class SearchPolicy(Protocol):
    """Chooses the next attempt. A policy is a pure function of the tree, running attempts included, and of `random`."""

    def next_attempt(self, tree: SearchTree, random: Random) -> NextAttempt | None:
        """Return the next attempt; None while running ones must end first. The baseline has ended."""
        ...
