"""The process of a search: the baseline, then attempts side by side within the limits, then the end.

Everything is saved before it happens, so that another process can continue after this one was killed.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

from ml_intern.configs.errors import MLInternError
from ml_intern.search.evaluation import EvaluationFailed
from ml_intern.search.files.copies import disk_error
from ml_intern.search.noise import baseline_evaluations
from ml_intern.search.plan import SearchLimits
from ml_intern.search.policies.table import POLICIES
from ml_intern.search.record import Conclusion
from ml_intern.search.running.attempt import AttemptRun, lock_digests
from ml_intern.search.running.concluding import close_worktrees, conclude
from ml_intern.search.running.machine import linked_data
from ml_intern.search.running.state import RunningSearch
from ml_intern.search.tree import OPEN, Attempt

POLL_S: Final = 0.5
"""Seconds between two looks at what the user asks for."""
_SAVE_S: Final = 5.0
MAX_ATTEMPTS: Final = 100
"""Attempts of a search whose plan does not limit them."""


@dataclass
class SearchDriver:
    """Runs one search to its end, or until the user stops it."""

    search: RunningSearch
    dry_run: bool = False
    """Measure the baseline only."""
    _tasks: dict[int, asyncio.Task[None]] = field(default_factory=dict[int, asyncio.Task[None]])
    _shares: dict[int, float] = field(default_factory=dict[int, float])
    _clock: float = field(default_factory=time.monotonic)
    _saved_at: float = 0.0
    _wanted: str = "run"

    async def run(self) -> None:
        """Run the search. An error of the machine ends it as failed; it can be resumed."""
        try:
            await self._run()
        except (MLInternError, OSError) as error:
            known = error if isinstance(error, MLInternError) else disk_error(error, self.search.files.home)
            await self._fail(str(known))
            raise known from error
        finally:
            await self._cancel()

    async def _run(self) -> None:
        search = self.search
        await search.saved.ask("run")
        if search.record.ended:
            await search.change(state="running", why="", finished=None)
        await self._measure_baseline()
        if self.dry_run or search.record.ended:
            return
        if search.record.state != "concluding":
            await search.change(state="running", why="", finished=None)
            if not await self._attempts():
                return
        self._count_time()
        await conclude(search)
        self._count_time()
        await search.change(state="finished", finished=time.time(), why=search.record.why)
        await close_worktrees(search)

    async def _fail(self, why: str) -> None:
        """Save why the search failed. A disk that is full may refuse even that."""
        self._count_time()
        with suppress(MLInternError):
            await self.search.change(state="failed", why=why)

    # --- the baseline

    async def _measure_baseline(self) -> None:
        """Evaluate the user's own state with several seeds."""
        search = self.search
        if search.tree.attempts and search.tree.baseline.state == "crashed":
            await search.git(search.files.remove_branch, 0)
            await self._add_baseline()
        elif search.tree.attempts and not search.tree.baseline.open:
            return
        if not search.tree.attempts:
            await self._add_baseline()
        baseline = search.tree.baseline
        top, workspace = await search.open(0)
        search.evaluator = search.evaluator.showing(await asyncio.to_thread(search.files.shown, 0))
        try:
            seeds = search.seeds(1, baseline_evaluations(search.plan))
            found = await search.evaluator.measure(top, workspace, seeds)
            linked = await asyncio.to_thread(linked_data, search.evaluator.options.shown)
            await search.change(rows=found.rows, evaluation_seconds=found.seconds, linked=linked)
            if search.plan.proxy:
                short = await search.evaluator.measure(top, workspace, (1,), search.plan.proxy)
                baseline = await search.put(baseline, proxy=short.score.mean)
        except EvaluationFailed as error:
            await search.put(baseline, state="crashed", why=str(error))
            await search.change(state="failed", why=f"the baseline has no {search.plan.objective.metric}: {error}")
            return
        await search.put(baseline, state="accepted", score=found.score)
        perfect = 1.0 if search.plan.objective.maximize else 0.0
        if {*found.score.values} == {perfect}:
            why = f"the {search.plan.objective.metric} of the baseline is already {perfect:g}"
            await search.change(state="finished", finished=time.time(), conclusion=Conclusion(None, why))
            return
        await search.change(planned=self._planned(), state="paused" if self.dry_run else "running")

    async def _add_baseline(self) -> None:
        commit = await self.search.git(self.search.files.begin)
        baseline = Attempt(0, "baseline", "evaluating", branch=self.search.files.branch(0), commit=commit)
        await self.search.put(baseline, created=time.time(), idea="the state at the start")

    def _planned(self) -> int:
        limits = self.search.record.limits
        return max(1, limits.attempts or MAX_ATTEMPTS)

    # --- the attempts

    async def _attempts(self) -> bool:
        """Run attempts until a limit is reached or the user stops. Return whether the search is to be concluded."""
        search = self.search
        search.evaluator = search.evaluator.showing(await asyncio.to_thread(search.files.shown, 0))
        _, workspace = await search.open(0)
        search.locks = await asyncio.to_thread(lock_digests, search.plan.locks, workspace)
        for attempt in search.tree.running:
            self._start(attempt)
        while True:
            await self._poll()
            if self._wanted == "stop":
                await self._cancel()
                await self._count_cost()
                await search.change(state="stopped", why="stopped by the user", finished=time.time())
                return False
            if self._time_is_up():
                await self._stop("the time limit of the search was reached")
                await search.change(why="the time limit was reached")
                return True
            why = await self._fill()
            if not self._tasks and self._wanted == "pause":
                await self._paused()
            elif not self._tasks:
                await search.change(why=why)
                return True
            await self._wait()

    async def _fill(self) -> str:
        """Start attempts in the free slots. Return why no other one was started."""
        search = self.search
        while len(self._tasks) < search.record.limits.parallel:
            if why := self._limit():
                return why
            number = len(search.tree.attempts)
            chosen = POLICIES[search.plan.policy].next_attempt(search.tree, Random(f"{search.plan.seed}:{number}"))  # noqa: S311 - not for secrets
            if chosen is None:
                return "the policy has no other attempt"
            attempt = Attempt(number, chosen.kind, "waiting", chosen.parents)
            self._start(await search.put(attempt, created=time.time()))
        return ""

    def _start(self, attempt: Attempt) -> None:
        share = self._share()
        if share is not None:
            self._shares[attempt.number] = share
        run = AttemptRun(self.search, attempt.number, share)
        self._tasks[attempt.number] = asyncio.create_task(run(), name=f"attempt {attempt.number}")

    def _limit(self) -> str:
        """Return why no attempt can be started now, or ""."""
        limits = self.search.record.limits
        if self._wanted != "run":
            return "paused by the user" if self._wanted == "pause" else "you finished it"
        if len(self.search.tree.attempts) - 1 >= (limits.attempts or MAX_ATTEMPTS):
            return "the limit of attempts was reached"
        share = self._share()
        return "the budget is used up" if share is not None and self._left() < share * 0.999 else ""

    def _share(self) -> float | None:
        """Return the share of the budget that each attempt gets. It never changes: a continued attempt has the same."""
        return None if self.search.record.limits.budget_usd is None else self.search.plan.attempt_usd

    def _left(self) -> float:
        """Return the budget that is neither spent nor handed out."""
        budget = self.search.record.limits.budget_usd or 0.0
        return budget - self._committed()

    def _committed(self) -> float:
        """Return the spending so far and the shares of running attempts. An unknown cost counts as the share."""
        share = self.search.plan.attempt_usd or 0.0
        ended = (one for one in self.search.tree.attempts if one.number not in self._tasks)
        return sum(share if one.cost_usd is None else one.cost_usd for one in ended) + sum(self._shares.values())

    async def _wait(self) -> None:
        """Wait until an attempt ends, or until the next look. Errors of the machine are raised."""
        tasks = set(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED)
        for number, task in list(self._tasks.items()):
            if task.done():
                del self._tasks[number]
                self._shares.pop(number, None)
                task.result()
                await self._count_cost()

    async def _count_cost(self) -> None:
        costs = [one.cost_usd for one in self.search.tree.attempts]
        known = sum(cost for cost in costs if cost is not None)
        await self.search.change(spent_usd=None if None in costs else known)

    # --- the user, and the clock

    async def _poll(self) -> None:
        """Read what the user asks for, and count the time."""
        self._count_time()
        wanted, limits = await self.search.saved.asked()
        self._wanted = wanted
        if limits != self.search.record.limits:
            await self._take(limits)
        if time.monotonic() - self._saved_at > _SAVE_S:
            self._saved_at = time.monotonic()
            await self.search.change()

    async def _take(self, limits: SearchLimits) -> None:
        planned = max(self.search.record.planned, limits.attempts or 1)
        await self.search.change(limits=limits, planned=planned)

    def _count_time(self) -> None:
        now = time.monotonic()
        passed, self._clock = now - self._clock, now
        if self.search.record.state != "paused":
            self.search.record = replace(self.search.record, seconds=self.search.record.seconds + passed)

    def _time_is_up(self) -> bool:
        limit = self.search.record.limits.seconds
        return limit is not None and self.search.record.seconds >= limit

    async def _paused(self) -> None:
        """Wait until the user resumes, stops or finishes the search."""
        await self.search.change(state="paused", why="paused by the user")
        while self._wanted == "pause":
            await asyncio.sleep(POLL_S)
            await self._poll()
        await self.search.change(state="running", why="")

    async def _stop(self, why: str) -> None:
        """End the running attempts."""
        await self._cancel()
        for attempt in self.search.tree.attempts:
            if attempt.state in OPEN:
                await self.search.put(attempt, state="stopped", why=why)
        await self._count_cost()

    async def _cancel(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.exception()
        self._tasks.clear()
        self._shares.clear()
