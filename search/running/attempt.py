"""The life of one attempt: its worktree, its proposer, its commit, its evaluation and the judgement.

Each step is saved before and after it. An attempt that a crash cut off continues at its step: its thread is continued,
its evaluation is repeated.
"""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from uuid import uuid4

from ml_intern.configs.errors import ConfigurationError, TemporaryError
from ml_intern.evidence.locks import locked_files
from ml_intern.search.evaluation import EvaluationFailed, MeasuredScore
from ml_intern.search.files.git import GitFailed
from ml_intern.search.judgement import Judgement, joined, judge, judge_look, screen
from ml_intern.search.plan import SEED
from ml_intern.search.policies.halving import ends_early
from ml_intern.search.predictions import judge_saved
from ml_intern.search.running.machine import check_disk, check_linked
from ml_intern.search.running.prompt import AGAIN, prompt_of
from ml_intern.search.running.proposer import Proposal, ProposerTask, propose
from ml_intern.search.running.state import FRESH_SEED, RunningSearch
from ml_intern.search.tree import Attempt, Score
from ml_intern.text.formatting import duration, listed

_SEEDS_EACH: Final = 100
"""Fresh seeds that are reserved for each attempt."""
_SHOWN: Final = 3


class AttemptEnded(Exception):
    """The attempt ended early: its state, and the reason as a fact."""

    def __init__(self, state: str, why: str) -> None:
        super().__init__(why)
        self.state, self.why = state, why


@dataclass(frozen=True)
class AttemptRun:
    """The run of one attempt. `share` is its part of the budget."""

    search: RunningSearch
    number: int
    share: float | None

    @property
    def _attempt(self) -> Attempt:
        return self.search.tree[self.number]

    async def __call__(self) -> None:
        """Run the attempt to its end. Errors of the machine are raised, and the attempt stays open."""
        try:
            if self._attempt.state in ("waiting", "working"):
                await self._make()
            await self._evaluate()
        except AttemptEnded as end:
            await self._check_machine()
            await self.search.put(self._attempt, state=end.state, why=end.why)
        except GitFailed as error:
            await self._check_machine()
            await self.search.put(self._attempt, state="crashed", why=error.message)
        if self._attempt.state != "accepted":
            await self.search.git(self.search.files.close, self.number)

    async def _check_machine(self) -> None:
        """Raise for a failure of the machine, which leaves the attempt open. It may be why the attempt failed."""
        search = self.search
        await asyncio.to_thread(check_disk, search.files.home)
        await asyncio.to_thread(check_linked, search.record.linked, search.evaluator.options.shown)

    async def _make(self) -> None:
        """Make the change of the attempt, and commit it."""
        if self._attempt.state == "waiting":
            await self.search.git(self.search.files.remove_branch, self.number)
        attempt = self._attempt
        parent = next(one for one in self.search.tree.line(attempt.parents[0]) if one.commit)
        workspace = await self.search.git(self.search.files.open, self.number, parent.commit)
        branch = self.search.files.branch(self.number)
        thread = attempt.thread_id or str(uuid4())
        attempt = await self.search.put(
            attempt, state="working", thread_id=thread, branch=branch, tries=attempt.tries + 1
        )
        if attempt.kind == "combine" and not attempt.cost_usd and await self._merged():
            idea = f"Combine the changes of attempts {attempt.parents[0]} and {attempt.parents[1]}."
            await self._commit(Proposal("done", idea, 0), parent)
            return
        prompt = prompt_of(self.search.plan, self.search.tree, attempt, self.share)
        proposal = await self._propose(workspace, prompt)
        if attempt.tries > 1 and proposal.status == "done" and not await self._changed(parent):
            await self._check_machine()
            proposal = await self._propose(workspace, AGAIN, again=True)
        await self._commit(proposal, parent)

    async def _changed(self, parent: Attempt) -> bool:
        """Return whether the worktree differs from the parent."""
        return await self.search.git(self.search.files.has_change, self.number, parent.commit)

    async def _merged(self) -> bool:
        other = self.search.tree[self._attempt.parents[1]].commit
        return await self.search.git(self.search.files.merge, self.number, other)

    async def _propose(self, workspace: Path, prompt: str, *, again: bool = False) -> Proposal:
        search, attempt = self.search, self._attempt
        threads = search.saved.store.threads
        if await threads.get(attempt.thread_id) is None:
            title = f"Attempt {self.number} of the search {search.record.search_id}"
            await threads.create(
                id=attempt.thread_id, title=title, folder=str(workspace), parent=search.record.search_id
            )
        request = replace(
            search.request, thread=attempt.thread_id, folder=str(workspace), locks=search.plan.locks,
            shown=search.evaluator.options.shown, max_budget_usd=-1 if self.share is None else self.share,
        )  # fmt: skip
        message = f"improve-{search.record.search_id}-{self.number}" + (f"-{attempt.tries}" if again else "")
        try:
            proposal = await propose(
                ProposerTask(request, prompt, search.plan.task, message, search.plan.attempt_seconds, again)
            )
        finally:
            await self._count_cost()
        _raise_for(proposal)
        return proposal

    async def _count_cost(self) -> None:
        total = await self.search.saved.store.ledger.total(self._attempt.thread_id)
        await self.search.put(self._attempt, cost_usd=total.known_cost_usd)

    async def _commit(self, proposal: Proposal, parent: Attempt) -> None:
        """Commit the change, and check that it is one and that no locked file differs."""
        search, files = self.search, self.search.files
        commit = await search.git(files.commit, self.number, proposal.idea)
        change = await search.git(files.change_line, parent.commit, commit)
        attempt = await search.put(self._attempt, commit=commit, idea=proposal.idea, change=change)
        if proposal.status == "timeout":
            raise AttemptEnded("stopped", f"it did not end within {duration(search.plan.attempt_seconds)}")
        if changed := await asyncio.to_thread(self._changed_locks):
            raise AttemptEnded("refused", f"it changed {listed(changed, _SHOWN)}, which must not change")
        if proposal.status == "contradicted":
            raise AttemptEnded("refused", f"its answer was contradicted: {proposal.text.strip()[:200]}")
        trees = [await search.git(files.tree_of, one) for one in (commit, parent.commit)]
        if trees[0] == trees[1]:
            raise AttemptEnded("discarded", "it changed nothing")
        await search.put(attempt, state="evaluating")

    def _changed_locks(self) -> list[str]:
        workspace = self.search.files.workspace(self.number)
        now = lock_digests(self.search.plan.locks, workspace)
        return sorted(name for name in {*now, *self.search.locks} if now.get(name) != self.search.locks.get(name))

    async def _evaluate(self) -> None:
        """Evaluate the change: a short run, the first seeds, and fresh seeds if it looks better."""
        search = self.search
        try:
            await self._short_run()
            first = await self._measure(self.number, self._first_seeds())
            await search.put(self._attempt, score=first.score)
            judgement, score = await self._judged(first)
            await self._check_machine()
        except EvaluationFailed as error:
            raise AttemptEnded("crashed", str(error)) from error
        state = "accepted" if judgement.better else "discarded"
        await search.put(self._attempt, state=state, why=judgement.reason, near=judgement.near, score=score)

    def _first_seeds(self) -> tuple[int, ...]:
        return first_seeds(self.search)

    async def _short_run(self) -> None:
        search = self.search
        if not search.plan.proxy:
            return
        value = (await self._measure(self.number, (1,), search.plan.proxy)).score.mean
        earlier = [one.proxy for one in search.tree.attempts if one.proxy is not None and one.number != self.number]
        await search.put(self._attempt, proxy=value)
        if why := ends_early(value, earlier, search.noise.sd, search.plan.objective):
            raise AttemptEnded("discarded", why)

    def _compared(self) -> tuple[Attempt, Score]:
        """Return the attempt to compare with, and its score."""
        found = self.search.tree.compared_with(self.number)
        if found is None or found.score is None:
            raise AttemptEnded("stopped", "the baseline has no score")
        return found, found.score

    async def _judged(self, first: MeasuredScore) -> tuple[Judgement, Score]:
        """Compare the attempt with its parent: on the first seeds, and if it is promising, on fresh ones."""
        search, plan = self.search, self.search.plan
        parent, before = self._compared()
        rules = (search.noise, search.record.planned, plan.level, plan.objective)
        saved = await self._by_rows(first.score, before)
        if saved is not None:
            return saved, first.score
        screening = screen(first.score, before, *rules)
        if not screening.promising:
            return Judgement(better=False, reason=screening.reason), first.score
        if not screening.evaluations:
            return judge(first.score, before, *rules), first.score
        fresh, other = await self._fresh(parent, 0, screening.evaluations)
        judgement, more = judge_look(fresh, other, *rules)
        if more:
            further = await self._fresh(parent, len(fresh.values), more)
            fresh, other = joined(fresh, further[0]), joined(other, further[1])
            judgement, _ = judge_look(fresh, other, *rules)
        return judgement, fresh

    async def _fresh(self, parent: Attempt, start: int, count: int) -> tuple[Score, Score]:
        """Evaluate the attempt and its parent on the same fresh seeds."""
        seeds = self.search.seeds(FRESH_SEED + _SEEDS_EACH * self.number + start, count)
        return (await self._measure(self.number, seeds)).score, (await self._measure(parent.number, seeds)).score

    async def _by_rows(self, one: Score, other: Score) -> Judgement | None:
        search = self.search
        return await asyncio.to_thread(
            judge_saved, search.evaluator.home, one, other, search.plan, search.record.planned
        )

    async def _measure(self, number: int, seeds: tuple[int, ...], command: str = "") -> MeasuredScore:
        top, workspace = await self.search.open(number)
        return await self.search.evaluator.measure(top, workspace, seeds, command)


def first_seeds(search: RunningSearch) -> tuple[int, ...]:
    """Return the seeds of the first evaluations. Without a seed and without noise, one evaluation says it all."""
    exact = SEED not in search.plan.evaluator and search.noise.degrees > 0 and search.noise.sd == 0
    return search.seeds(1, 1 if exact else search.plan.evaluations)


def lock_digests(patterns: tuple[str, ...], workspace: Path) -> dict[str, str]:
    """Return the digests of the files that match, by their names relative to the working folder."""
    top = workspace.resolve()
    found = {
        name: one["digest"] for pattern in patterns for name, one in locked_files("", [pattern], workspace).items()
    }
    return {
        str(Path(name).relative_to(top)): digest for name, digest in found.items() if Path(name).is_relative_to(top)
    }


def _raise_for(proposal: Proposal) -> None:
    """Raise for an end of the proposer's turn without a change to evaluate."""
    if proposal.status in ("done", "limit", "contradicted", "timeout"):
        return
    if proposal.exit_code == TemporaryError.exit_code:
        raise TemporaryError(f"the model did not answer: {proposal.text}", "resume the search later")
    if proposal.exit_code == ConfigurationError.exit_code:
        raise ConfigurationError(proposal.text)
    raise AttemptEnded("crashed", f"the proposer ended: {proposal.status}: {proposal.text.strip()[:200]}")
