"""The state of a running search: what is saved of it, its files, and its evaluator."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from ml_intern.search.evaluation import SearchEvaluator
from ml_intern.search.files.worktrees import SearchFiles
from ml_intern.search.noise import Noise
from ml_intern.search.plan import SearchPlan
from ml_intern.search.record import SearchRecord
from ml_intern.search.saved import SavedSearch
from ml_intern.search.tree import Attempt, SearchTree
from ml_intern.session.opening.request import SessionRequest

T = TypeVar("T")
FRESH_SEED = 1_000
"""The first seed that no first evaluation uses."""
FINAL_SEED = 1_000_000
"""The first seed of the evaluations at the end."""


@dataclass
class RunningSearch:
    """A search that this process runs. All its changes go through `put` and `change`, which save them first."""

    saved: SavedSearch
    record: SearchRecord
    files: SearchFiles
    evaluator: SearchEvaluator
    request: SessionRequest
    """The request for the session of an attempt, without its folder, thread and share."""
    locks: Mapping[str, str]
    """The digests of the locked files, by their names relative to the working folder."""
    show: Callable[[SearchRecord], object] = lambda _: None
    _git: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def plan(self) -> SearchPlan:
        """Return the plan."""
        return self.record.plan

    @property
    def tree(self) -> SearchTree:
        """Return the attempts."""
        return self.record.tree

    @property
    def noise(self) -> Noise:
        """Return the noise of the evaluator, measured over all attempts."""
        scores = (one.score for one in self.tree.attempts)
        return Noise.of((one for one in scores if one is not None), self.record.rows)

    async def put(self, attempt: Attempt, **changes: Any) -> Attempt:
        """Save an attempt with these changes, and return it."""
        attempt = replace(attempt, **changes)
        if not attempt.open and attempt.finished is None:
            attempt = replace(attempt, finished=time.time())
        await self.saved.save_attempt(attempt)
        others = [one for one in self.tree.attempts if one.number != attempt.number]
        attempts = tuple(sorted([*others, attempt], key=lambda one: one.number))
        self.record = replace(self.record, tree=SearchTree(self.plan.objective, attempts))
        self.show(self.record)
        return attempt

    async def change(self, **changes: Any) -> None:
        """Save changes of the search."""
        self.record = replace(self.record, **changes)
        await self.saved.save(self.record)
        self.show(self.record)

    async def waits(self, why: str) -> None:
        """Save why evaluations wait; "" when they do not."""
        if why != self.record.why:
            await self.change(why=why)

    async def git(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run a git operation in a thread, one at a time."""
        async with self._git:
            return await _finished(asyncio.to_thread(work, *arguments))

    def seeds(self, first: int, count: int) -> tuple[int, ...]:
        """Return seeds from `first` on."""
        return tuple(range(first, first + count))

    async def open(self, number: int) -> tuple[Path, Path]:
        """Return the top of the worktree of an attempt and its workspace. A missing one is made anew."""
        workspace = await self.git(self.files.open, number, self.tree[number].commit)
        return self.files.worktree(number), workspace


async def _finished(work: Awaitable[T]) -> T:
    """Wait for work that must not be cut off, also if this task is cancelled."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
