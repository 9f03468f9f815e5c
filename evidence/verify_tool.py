"""The call that the program issues when the model wants to end: check the answer against the evidence."""

import asyncio
from dataclasses import replace
from typing import Final

from pydantic import Field

from ml_intern.evidence.gate import check_answer
from ml_intern.evidence.goal_check import check_goal
from ml_intern.evidence.holdout import with_holdout_score
from ml_intern.evidence.observations import observe
from ml_intern.evidence.reproduction.from_hub import with_numbers_from_hub
from ml_intern.evidence.reproduction.pushed import with_pushed_files
from ml_intern.evidence.reproduction.run import reproduced
from ml_intern.evidence.statement.write import write_statements
from ml_intern.evidence.strict.reviewer import with_review
from ml_intern.evidence.strict.second_seed import with_second_seed
from ml_intern.execution.call import ToolCall, ToolError, ToolResult
from ml_intern.execution.tool import ToolArgs, ToolContext, tool
from ml_intern.graph.limits import reaches

SECONDS: Final = 1_800.0


class VerifyArgs(ToolArgs):
    """The arguments of verify."""

    answer: str = Field(description="Id of the message with the answer.")


@tool(read_only=True, timeout=SECONDS, path_args=())
async def verify(args: VerifyArgs, context: ToolContext) -> ToolResult:
    """Check the answer in a message against the evidence of the thread, and write the statement about what it delivers.

    Only the program calls it.
    """
    text = next((one.text for one in reversed(context.messages) if one.id == args.answer), None)
    if text is None:
        raise ToolError("the answer is not in the conversation any more")
    seen = await observe(context)
    verdict = await check_answer(text, seen)
    if reaches(verdict.level, "standard"):
        verdict = await reproduced(text, seen, verdict, context)
        verdict = await with_pushed_files(text, seen, verdict)
        verdict = await with_numbers_from_hub(text, seen, verdict, context)
    if reaches(verdict.level, "strict"):
        verdict = await with_second_seed(text, seen, verdict, context)
        verdict = await with_review(seen, verdict, context)
    if context.options.goal:
        verdict = replace(verdict, goal=(await check_goal(text, seen, context)).as_data())
    if context.options.holdout:
        verdict = await with_holdout_score(text, seen, verdict, context)
    written, problems = await asyncio.to_thread(write_statements, text, seen, verdict)
    verdict = replace(verdict, statements=tuple(written), incomplete=(*verdict.incomplete, *problems))
    data = verdict.as_data()
    await context.store.evidence.put(context.thread_id, "verdict", args.answer, data)
    lines = [verdict.status, *verdict.problems, *verdict.notes]
    return ToolResult("\n".join(lines), state={"answer": args.answer, "state": "done", "verdict": data})


def verify_call(answer_id: str) -> ToolCall:
    """Return the call that checks an answer."""
    return ToolCall("verify", {"answer": answer_id}, f"verify:{answer_id}", answer_id, 0)
