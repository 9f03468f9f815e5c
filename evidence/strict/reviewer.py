"""Have a read-only sub-agent review an answer, from the evidence and without the conversation of its author."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from ml_intern.configs.errors import LimitReached, MLInternError, TemporaryError
from ml_intern.evidence.findings import Finding
from ml_intern.evidence.observations import Observations
from ml_intern.evidence.verdict import AnswerVerdict
from ml_intern.execution.tool import SubagentQuota, ToolContext

QUOTA: Final = SubagentQuota(("read",), 12, 300_000, 0.5)
_DOUBT: Final = re.compile(r"(?m)^\W*DOUBT:\s*(\S.*)$")
_NONE: Final = re.compile(r"(?m)^\W*NO DOUBT\b")
_MAX_DOUBTS: Final = 5
_MAX_TEXT: Final = 3_000
_MAX_RUNS: Final = 8


async def with_review(seen: Observations, verdict: AnswerVerdict, context: ToolContext) -> AnswerVerdict:
    """Return the verdict with the doubts of a reviewer. They are remarks: they never contradict or support a claim."""
    if not any(claim.value is not None for claim in verdict.claims):
        return verdict
    if context.spawn is None:
        return _without(verdict, "sub-agents are not available here")
    try:
        result = await context.spawn("\n".join(_task(seen, verdict)), context, QUOTA)
    except (TemporaryError, LimitReached):
        raise
    except MLInternError as error:  # such as a missing key of the research_model
        return _without(verdict, str(error))
    doubts = [found[1].strip() for found in _DOUBT.finditer(result.text)][:_MAX_DOUBTS]
    if not result.ok or not (doubts or _NONE.search(result.text)):
        return _without(verdict, "the reviewer gave no answer of the form that was asked for")
    return replace(verdict, findings=(*verdict.findings, *(Finding("reviewer", doubt) for doubt in doubts)))


def _without(verdict: AnswerVerdict, why: str) -> AnswerVerdict:
    return replace(verdict, incomplete=(*verdict.incomplete, f"not reviewed: {why}"))


def _task(seen: Observations, verdict: AnswerVerdict) -> Iterator[str]:
    yield (
        "Review the result of a machine learning task. You get what the user asked for, the claims with the evidence "
        "for each, and what ran. Read the code and the data with the tool read. Look for what makes the numbers "
        "wrong or misleading: leakage, a wrong metric or split, a result of another model, too few rows. Report only "
        "facts that you saw in a file or an output. End with one line for each, that begins with DOUBT: and names the "
        "file and line. If there are none, end with the line NO DOUBT."
    )
    yield f"\nThe user asked:\n{seen.user_text[:_MAX_TEXT]}\n\nClaims:"
    yield from (f"- {one.text}: {one.state}, {one.evidence}" for one in verdict.claims)
    yield "\nFacts that were found:"
    yield from (f"- {one.text}" for one in verdict.findings)
    yield "\nWhat ran:"
    for run in seen.programs[-_MAX_RUNS:]:
        files = ", ".join(seen.short(path) for path in sorted(run.opened)[:20])
        yield f"\n{run.name}: {run.command[:_MAX_TEXT]}\nread: {files}\noutput:\n{run.text[-_MAX_TEXT:]}"
