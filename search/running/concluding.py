"""The end of a search: the best attempts run again with new seeds, what each change contributes, and the hold-out."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from ml_intern.search.evaluation import EvaluationFailed
from ml_intern.search.files.git import GitFailed
from ml_intern.search.judgement import Judgement, choose_winner, judge
from ml_intern.search.predictions import judge_saved
from ml_intern.search.record import Conclusion, Contribution, Finalist
from ml_intern.search.running.attempt import first_seeds
from ml_intern.search.running.state import FINAL_SEED, RunningSearch
from ml_intern.search.tree import Attempt, Score

FINALISTS: Final = 3
_RERUNS: Final = 5
"""New seeds for each finalist, where the seed matters."""
_RERUN_TRIES: Final = 2
_MAX_CHANGES: Final = 12
"""Accepted changes of the winner that are taken out one by one."""


async def conclude(search: RunningSearch) -> None:
    """Choose the winner, and save the conclusion after each step."""
    await search.change(state="concluding")
    baseline = search.tree.baseline
    best = _best(search)
    seeds = _seeds(search)
    scores = {one.number: await _rerun(search, one, seeds) for one in (baseline, *best)}
    finalists = tuple(replace(scores[one.number], attempt=one.number) for one in best)
    before = scores[baseline.number].score
    conclusion = Conclusion(None, "no attempt was better than its parent", finalists, baseline=before)
    if before is None and best:
        conclusion = replace(conclusion, why=f"the baseline could not be run again: {scores[0].why}")
    elif best and before is not None:
        reruns = {one.attempt: one.score for one in finalists if one.score is not None}
        conclusion = _chosen(search, conclusion, reruns, before)
    earlier = search.record.conclusion
    if earlier is not None and earlier.winner == conclusion.winner:
        conclusion = replace(conclusion, holdout=earlier.holdout, holdout_baseline=earlier.holdout_baseline)
    await search.change(conclusion=conclusion)
    if conclusion.winner is not None:
        winner = search.tree[conclusion.winner]
        diff = await search.git(search.files.diff, baseline.commit, winner.commit)
        await search.change(conclusion=replace(conclusion, diff=diff))
        await _contributions(search, winner, seeds)
        await _holdout(search, winner)


def _chosen(search: RunningSearch, conclusion: Conclusion, reruns: Mapping[int, Score], before: Score) -> Conclusion:
    """Return the conclusion with the winner. Without any noise, the judgements of the attempts are repeated."""
    plan, count = search.plan, len(reruns)

    def judged(one: Score, other: Score) -> Judgement:
        by_rows = judge_saved(search.evaluator.home, one, other, plan, count)
        return by_rows or judge(one, other, search.noise, count, plan.level, plan.objective)

    winner, judgement = choose_winner(reruns, before, plan.objective, judged)
    return replace(conclusion, winner=winner, why=judgement.reason)


def _best(search: RunningSearch) -> Sequence[Attempt]:
    """Return the best accepted attempts, the best first."""
    sign = -1 if search.plan.objective.maximize else 1
    found = [one for one in search.tree.accepted if one.number]
    return sorted(found, key=lambda one: (sign * one.score.mean if one.score else 0.0, one.number))[:FINALISTS]


def _seeds(search: RunningSearch) -> tuple[int, ...]:
    return search.seeds(FINAL_SEED, 1 if len(first_seeds(search)) == 1 else max(_RERUNS, search.plan.evaluations))


async def _rerun(search: RunningSearch, attempt: Attempt, seeds: Sequence[int]) -> Finalist:
    """Evaluate an attempt again, twice if that fails: it was evaluated before, so the machine may be the cause."""
    why = ""
    for _ in range(_RERUN_TRIES):
        try:
            top, workspace = await search.open(attempt.number)
            return Finalist(attempt.number, (await search.evaluator.measure(top, workspace, seeds)).score)
        except (EvaluationFailed, GitFailed) as error:
            why = str(error)
    return Finalist(attempt.number, None, why)


async def _contributions(search: RunningSearch, winner: Attempt, seeds: Sequence[int]) -> None:
    """Evaluate the winner without each of its changes."""
    line = [one for one in search.tree.line(winner.number) if one.number]
    if len(line) < 2:
        return
    found: list[Contribution] = []
    for one in line[:_MAX_CHANGES]:
        found.append(await _without(search, winner, one, seeds))
        if search.record.conclusion is not None:
            await search.change(conclusion=replace(search.record.conclusion, contributions=tuple(found)))


async def _without(search: RunningSearch, winner: Attempt, one: Attempt, seeds: Sequence[int]) -> Contribution:
    name, parent = f"without-{one.number}", search.tree[one.parents[0]]
    try:
        await search.git(search.files.remove_branch, name)
        workspace: Path = await search.git(search.files.open, name, winner.commit)
        if not await search.git(search.files.revert, name, parent.commit, one.commit):
            return Contribution(one.number, None, "later changes overlap with it")
        measured = await search.evaluator.measure(search.files.worktree(name), workspace, seeds)
        return Contribution(one.number, measured.score)
    except (EvaluationFailed, GitFailed) as error:
        return Contribution(one.number, None, str(error))
    finally:
        await search.git(search.files.remove_branch, name)


async def _holdout(search: RunningSearch, winner: Attempt) -> None:
    """Evaluate the winner and the baseline on the hold-out, once."""
    command, conclusion = search.evaluator.holdout_command(), search.record.conclusion
    if not search.plan.holdout or conclusion is None or conclusion.holdout is not None:
        return
    seeds = _seeds(search)
    scores: list[Score | None] = []
    for one in (winner, search.tree.baseline):
        try:
            top, workspace = await search.open(one.number)
            scores.append((await search.evaluator.measure(top, workspace, seeds, command)).score)
        except (EvaluationFailed, GitFailed):
            scores.append(None)
    await search.change(conclusion=replace(conclusion, holdout=scores[0], holdout_baseline=scores[1]))


async def close_worktrees(search: RunningSearch) -> None:
    """Remove the worktrees of a finished search. The branches stay."""
    await asyncio.shield(search.git(search.files.close_all))
