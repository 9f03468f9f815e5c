"""Score the delivered artifact on the hold-out, which the agent cannot read: once, in a fresh read-only sandbox."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ml_intern.evidence.findings import Finding
from ml_intern.evidence.numbers.measured import measured_in
from ml_intern.evidence.observations import Observations
from ml_intern.evidence.reproduction.compare import differences
from ml_intern.evidence.reproduction.plan import Evaluation, NotPossible, plan_on_table
from ml_intern.evidence.reproduction.run import MAX_SECONDS, Scratch, refuse_without_sandbox, run_evaluation
from ml_intern.evidence.statement.build import delivered_artifacts
from ml_intern.evidence.verdict import AnswerVerdict
from ml_intern.execution.tool import ToolContext
from ml_intern.text.digests import content_digest

_MAX_METRICS: Final = 12


async def with_holdout_score(
    answer: str, seen: Observations, verdict: AnswerVerdict, context: ToolContext
) -> AnswerVerdict:
    """Return the verdict with the score on the hold-out of the thread. The model does not get it.

    An answer that is not final is not scored: one that is contradicted, or does not meet the goal, or delivers nothing.
    """
    file = Path(context.options.holdout)
    try:
        digest = await asyncio.to_thread(content_digest, file)
        if earlier := await _earlier(digest, context):
            return replace(verdict, holdout={**earlier, "why": "scored before, for an earlier answer"})
        _refuse_unfinished(answer, seen, verdict)
        evaluation = await asyncio.to_thread(plan_on_table, answer, seen, file)
        output = await _output(evaluation, context)
    except (OSError, NotPossible) as reason:
        return replace(verdict, holdout={"file": file.name, "state": "not scored", "why": str(reason), "metrics": {}})
    score = {"file": file.name, "sha256": digest, "state": "scored", "why": "", **_score(output, evaluation)}
    found = [Finding("hold-out", line) for line in differences(answer, verdict.claims, output, evaluation)]
    return replace(verdict, holdout=score, findings=(*verdict.findings, *found))


async def _earlier(digest: str, context: ToolContext) -> Mapping[str, Any] | None:
    """Return the score that the hold-out already has in this thread, or None."""
    rows = await context.store.evidence.list(context.thread_id, "verdict")
    scores: Sequence[Mapping[str, Any]] = [row.body.get("holdout") or {} for row in rows]
    return next((one for one in scores if one.get("state") == "scored" and one.get("sha256") == digest), None)


def _refuse_unfinished(answer: str, seen: Observations, verdict: AnswerVerdict) -> None:
    if verdict.status == "contradicted":
        raise NotPossible("the answer is contradicted")
    if verdict.goal is not None and verdict.goal["state"] != "met":
        raise NotPossible("the goal is not met")
    if not delivered_artifacts(answer, seen):
        raise NotPossible("the answer delivers no model")


async def _output(evaluation: Evaluation, context: ToolContext) -> str:
    """Run the evaluation, and return its output. It is not saved where the agent could read it."""
    refuse_without_sandbox(context.options)
    scratch = Scratch(context.artifact_path(), context.mark)
    found = await run_evaluation(evaluation, context.options, scratch, MAX_SECONDS)
    if found.problem:
        raise NotPossible(found.problem)
    return found.output


def _score(output: str, evaluation: Evaluation) -> dict[str, Any]:
    named = [one for one in measured_in(output, evaluation.name) if one.metric][:_MAX_METRICS]
    if not named:
        raise NotPossible(f"{evaluation.name} printed no metric")
    return {"by": evaluation.name, "metrics": {one.label: one.token for one in named}}
