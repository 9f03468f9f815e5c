"""The check of an answer: when doom_check asks for it, how execute_tools runs it, and what the verdict leads to."""

import asyncio
from typing import Any, Final

from ml_intern.evidence.findings import Finding
from ml_intern.evidence.gate import has_claims
from ml_intern.evidence.goal_check import GoalCheck, reason_given
from ml_intern.evidence.observations import prepare
from ml_intern.evidence.verdict import AnswerVerdict
from ml_intern.evidence.verify_tool import verify, verify_call
from ml_intern.execution.call import ToolCall, ToolResult
from ml_intern.execution.calls import silent, tool_context
from ml_intern.execution.run import run_program_call
from ml_intern.execution.tool import Services, ToolContext
from ml_intern.graph.context import RunOptions
from ml_intern.graph.state import AgentState, Outcome
from ml_intern.safety.rules import SHELL_TOOL
from ml_intern.text.formatting import plural

MAX_CONTRADICTED: Final = 1
"""Corrections of an answer that the evidence contradicts, before the turn ends as contradicted."""
CONTRADICTED_EXIT: Final = 4
MAX_GOAL_TRIES: Final = 10
"""Answers of a turn that are sent back because the goal is not met."""


def must_verify(state: AgentState, options: RunOptions, services: Services) -> bool:
    """Return whether the answer has something to check: the thread changed something, or the answer claims a result."""
    if options.verify == "off" or options.child:
        return False
    if options.goal or options.holdout:
        return True
    return any(_acts(call, services) for one in state["messages"] for call in getattr(one, "tool_calls", ())) or (
        has_claims(state["messages"][-1].text)
    )


def _acts(call: Any, services: Services) -> bool:
    spec = services.tools.get(call["name"])
    return spec is not None and spec.asks and not spec.only_reads(call["args"])


def asked_answer(state: AgentState) -> str:
    """Return the id of the answer whose check was asked for and did not run yet, or ""."""
    asked = state.get("verification") or {}
    latest = state["messages"][-1].id if state.get("messages") else None
    return str(asked["answer"]) if asked.get("state") == "asked" and asked["answer"] == latest else ""


def verdict_on(state: AgentState) -> AnswerVerdict | None:
    """Return the verdict on the latest message, or None if it was not checked."""
    found = state.get("verification") or {}
    if found.get("state") != "done" or found["answer"] != state["messages"][-1].id:
        return None
    return AnswerVerdict.from_data(found["verdict"])


async def run_verification(
    state: AgentState, thread_id: str, options: RunOptions, services: Services
) -> dict[str, Any]:
    """Run the check of the latest answer, and return the state with its verdict."""
    answer = asked_answer(state)
    context = tool_context(state, thread_id, options, services, silent)
    result = await run_program_call(verify, verify_call(answer), context)
    if result.state is not None:
        return {"verification": dict(result.state)}
    failed = _unchecked(f"the answer could not be checked: {result.text}", options)
    return {"verification": {"answer": answer, "state": "done", "verdict": failed.as_data()}}


def _unchecked(why: str, options: RunOptions) -> AnswerVerdict:
    """Return the verdict on an answer whose check failed: it is marked, and a goal is not taken for met."""
    goal = GoalCheck(options.goal, "unknown", why).as_data() if options.goal else None
    return AnswerVerdict(options.verify, findings=(Finding("not checked", why),), goal=goal)


def prepare_evidence(call: ToolCall, result: ToolResult, context: ToolContext) -> None:
    """Start reading what a command printed, for the check of the answer, while the model works on its next reply."""
    if context.options.verify != "off" and call.name == SHELL_TOOL:
        command = str(call.args.get("command", ""))
        asyncio.get_running_loop().run_in_executor(None, prepare, command, result, context)


def correction(verdict: AnswerVerdict) -> str:
    """Return the note to the model about an answer that the evidence contradicts."""
    facts = "\n".join(f"- {line}" for line in verdict.problems)
    return (
        f"Your answer was checked against what ran in this thread. These points do not agree:\n{facts}\n"
        "Correct them: do what is missing, or state what the evidence shows. Then answer the user again, in full."
    )


def goal_outcome(verdict: AnswerVerdict, answer: str, tries: int) -> Outcome | None:
    """Return the outcome of a turn whose goal is not met and for which the model is not asked again, or None."""
    goal = verdict.goal or {}
    about = f"goal not met: {goal['goal']} ({goal['why']})"
    if goal["state"] == "unknown":
        return Outcome(status="failed", text=f"goal not checked: {goal['goal']} ({goal['why']})", exit_code=1)
    if reason := reason_given(answer):
        return Outcome(status="failed", text=f"{about}. The agent gave up: {reason}", exit_code=1)
    if tries > MAX_GOAL_TRIES:
        return Outcome(status="limit", text=f"{about}, after {plural(tries, 'answer')}", exit_code=124)
    return None


def goal_correction(verdict: AnswerVerdict) -> str:
    """Return the note to the model about a goal that is not met."""
    goal = verdict.goal or {}
    return (
        f"The goal is not met: {goal['goal']}. {goal['why']}. Continue until it is met. If it cannot be met, end your "
        'answer with a line that begins with "Goal not met:" and states why.'
    )


def contradicted(answer: str) -> Outcome:
    """Return the outcome of a turn whose answer the evidence contradicts."""
    return Outcome(status="contradicted", text=answer, exit_code=CONTRADICTED_EXIT)
