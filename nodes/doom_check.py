"""The node that limits the loop. It ends the turn, corrects the model or continues, and changes only the state."""

from dataclasses import dataclass
from typing import Any, Literal
from uuid import uuid4

from langchain_core.messages import AIMessage, AnyMessage, ToolCall
from langgraph.runtime import Runtime
from langgraph.types import Overwrite

from ml_intern.evidence.verdict import AnswerVerdict
from ml_intern.execution.tool import Services
from ml_intern.graph.context import RunOptions
from ml_intern.graph.events import Emit
from ml_intern.graph.limits import UNLIMITED
from ml_intern.graph.state import AgentState, Outcome, is_user_message, note, open_calls
from ml_intern.nodes.guards.budget import budget_exhausted, check_budget, current_cap, persistent_counters, question
from ml_intern.nodes.guards.quota import MAX_REMINDERS, REPORT_AT, quota_used
from ml_intern.nodes.guards.repetition import call_signature, progressed, repeated_again, repeats
from ml_intern.nodes.results import emit_of, options_of, results_not_run, thread_of
from ml_intern.nodes.routing import before_model
from ml_intern.nodes.verification import (
    MAX_CONTRADICTED,
    MAX_GOAL_TRIES,
    asked_answer,
    contradicted,
    correction,
    goal_correction,
    goal_outcome,
    must_verify,
    verdict_on,
)
from ml_intern.store.ledger import Totals
from ml_intern.text.formatting import plural

MAX_NUDGES = 2
MAX_EMPTY = 2
MAX_CUT = 3
MAX_MALFORMED = 3


@dataclass(frozen=True)
class Turn:
    """The inputs of the checks. `guard` holds their counters; they update this copy of it."""

    state: AgentState
    options: RunOptions
    services: Services
    thread_id: str
    guard: dict[str, int]
    emit: Emit

    @property
    def unattended(self) -> bool:
        """Return whether the run is unattended."""
        return self.options.headless or self.options.child

    def count(self, kind: str) -> int:
        """Increment a counter of the guard and return it."""
        self.guard[kind] = self.guard.get(kind, 0) + 1
        return self.guard[kind]


async def doom_check(state: AgentState, runtime: Runtime[RunOptions], *, services: Services) -> dict[str, Any]:
    """Decide from the latest reply whether and how the turn continues. A message of the user resets the counters."""
    if state.get("question"):  # there is no reply yet: the budget is used up
        return {}
    if is_user_message(state["messages"][-1]):  # sent to the running turn
        return {"guard": persistent_counters(state.get("guard")), "recent_calls": Overwrite([])}
    options, emit = options_of(runtime, services), emit_of(runtime, services)
    turn = Turn(state, options, services, thread_of(runtime), dict(state.get("guard") or {}), emit)
    message, calls = open_calls(state["messages"])
    if message is None:
        update = await _check_text(turn)
    else:
        update = _malformed(turn, message) or _repetition(turn, message, calls)
        update = await _within_limits(turn, update) if update else await _limits(turn) or await _quota(turn)
        if "messages" in update:
            text = update.pop("messages")
            update["messages"] = results_not_run(calls, message, text, "refused", emit)
    return {**update, "guard": turn.guard}


def route_check(
    state: AgentState,
) -> Literal["approval_interrupt", "execute_tools", "compact", "call_model", "__end__"]:
    """Send open calls to approval, the check of an answer to the tools, and corrections to the model."""
    if state.get("question") or open_calls(state["messages"])[1]:
        return "approval_interrupt"
    if asked_answer(state):
        return "execute_tools"
    return "__end__" if state.get("outcome") else before_model(state)


def _malformed(turn: Turn, message: AIMessage) -> dict[str, Any]:
    """End the turn after too many consecutive replies in which every call is malformed."""
    invalid = message.additional_kwargs.get("invalid_calls", {})
    if not invalid or any(call["id"] not in invalid for call in message.tool_calls):
        turn.guard["malformed"] = 0
        return {}
    if turn.count("malformed") <= MAX_MALFORMED:
        return {}
    error = next(iter(invalid.values()))["error"]
    return _stopped(f"the model sent malformed tool calls in {MAX_MALFORMED + 1} consecutive replies ({error})")


def _repetition(turn: Turn, message: AIMessage, calls: list[ToolCall]) -> dict[str, Any]:
    """Answer a loop. Calls that are not run count as repeated, so that an answer does not interrupt the pattern."""
    recent = turn.state.get("recent_calls", [])
    proposed = [call_signature(call["name"], call["args"]) for call in calls]
    if loop := repeats(recent, proposed):
        return {"recent_calls": repeated_again(recent, proposed), **_loop_answer(turn, message, loop)}
    if progressed(recent):
        turn.guard["repeats"] = 0
    return {}


def _loop_answer(turn: Turn, message: AIMessage, loop: str) -> dict[str, Any]:
    """Correct a first loop of the turn, refuse the second, then ask the user, or stop in unattended mode."""
    match turn.count("repeats"):
        case 1:
            return {"messages": f"Not run: {loop}. State what you learned from it, then try something different."}
        case 2:
            return {
                "messages": f"Refused: {loop}, and this turn was corrected for repeating itself before. Take another "
                "approach, or end your turn and report what you found and what blocks you. The next loop ends the turn."
            }
        case _ if turn.unattended:
            return _stopped(f"{loop}, and the model did not change course", "Continue with new instructions.")
        case _:
            text = f"The model is repeating itself: {loop}. Continue?"
            return {"question": {"id": f"question:{message.id}", "text": text, "kind": "loop"}}


def _stopped(why: str, remedy: str = "") -> dict[str, Any]:
    text = f"Stopped: {why}. {remedy}".strip()
    return {"messages": f"Not run: {why}.", "outcome": Outcome(status="failed", text=text, exit_code=1)}


async def _within_limits(turn: Turn, update: dict[str, Any]) -> dict[str, Any]:
    """Add the outcome of a limit to an update that would lead to a further model call."""
    if "outcome" in update or "question" in update:
        return update
    limits = await _limits(turn)
    return {**update, "outcome": limits["outcome"]} if "outcome" in limits else update


async def _limits(turn: Turn) -> dict[str, Any]:
    """Return the outcome if no further model call is allowed. The open calls still run before the turn ends."""
    cap = turn.options.max_iterations
    if cap != UNLIMITED and turn.state.get("iteration", 0) >= cap:
        return {
            "outcome": Outcome(
                status="limit", text=f"The limit of {plural(cap, 'model call')} was reached", exit_code=124
            )
        }
    budget = current_cap(turn.state, turn.options)
    return {} if budget is None else await _budget(turn, budget)


async def _quota(turn: Turn) -> dict[str, Any]:
    """Ask a sub-agent near its quota to report, and end one that does not."""
    if not turn.options.child:
        return {}
    used, words = await quota_used(turn.state, turn.options, turn.services, turn.thread_id)
    if used < REPORT_AT:
        return {}
    if turn.count("reminders") <= MAX_REMINDERS:
        return {"messages": f"Not run: {words} are used. Report now what you found and what you did not find."}
    return {"outcome": Outcome(status="limit", text=f"The sub-agent reached its quota: {words}", exit_code=124)}


async def _budget(turn: Turn, cap: float) -> dict[str, Any]:
    used = await _used(turn)
    if not check_budget(used, cap, turn.guard, turn.emit):
        return {}
    if turn.unattended:
        return {"outcome": budget_exhausted(used, cap)}
    return {"question": question(used, cap)}


async def _used(turn: Turn) -> Totals:
    return await turn.services.store.ledger.total(turn.options.root or turn.thread_id)


async def _check_text(turn: Turn) -> dict[str, Any]:
    """End the turn after a reply without calls, unless the reply needs a correction."""
    latest = turn.state["messages"][-1]
    reason = latest.response_metadata.get("finish_reason", "stop")
    if reason == "content_filter":
        return {
            "outcome": Outcome(status="failed", text="The provider's content filter blocked the reply", exit_code=1)
        }
    if reason == "length":
        return await _correct(
            turn, "cut", MAX_CUT, "Your reply was cut off at its length limit. Continue exactly where it ended."
        )
    if not latest.text.strip():
        return await _correct(turn, "empty", MAX_EMPTY, "Your reply was empty. Call a tool, or answer the user.")
    open_steps = [s["text"] for s in turn.state.get("plan") or [] if s["status"] in ("pending", "in_progress")]
    planning = turn.options.approval_mode == "plan"
    if open_steps and not planning and turn.guard.get("nudges", 0) < MAX_NUDGES and not await _waiting_for_runs(turn):
        text = f"The plan has open steps: {'; '.join(open_steps)}. Complete them, or mark them as dropped."
        return await _correct(turn, "nudges", MAX_NUDGES, text)
    verdict = verdict_on(turn.state)
    if verdict is None and must_verify(turn.state, turn.options, turn.services):
        return {"verification": {"answer": latest.id, "state": "asked"}}
    if verdict is not None and (update := await _judged(turn, verdict)):
        return update
    if (cap := current_cap(turn.state, turn.options)) is not None:
        check_budget(await _used(turn), cap, turn.guard, turn.emit)
    return {"outcome": Outcome(status="done", text=latest.text, exit_code=0)}


async def _judged(turn: Turn, verdict: AnswerVerdict) -> dict[str, Any]:
    """Report the verdict on the answer. Correct the model once, then end the turn as contradicted."""
    turn.emit("evidence", **verdict.as_data())
    if verdict.status != "contradicted":
        return await _towards_goal(turn, verdict)
    if turn.guard.get("contradicted", 0) < MAX_CONTRADICTED:
        return await _correct(turn, "contradicted", MAX_CONTRADICTED, correction(verdict))
    return {"outcome": contradicted(turn.state["messages"][-1].text)}


async def _towards_goal(turn: Turn, verdict: AnswerVerdict) -> dict[str, Any]:
    """Send the model on while the goal of the thread is not met, or end the turn with the reason why it is not."""
    if verdict.goal is None or verdict.goal["state"] == "met":
        return {}
    if outcome := goal_outcome(verdict, turn.state["messages"][-1].text, turn.count("goal")):
        return {"outcome": outcome}
    return await _correct(turn, "sent on", MAX_GOAL_TRIES, goal_correction(verdict))


async def _correct(turn: Turn, kind: str, limit: int, text: str) -> dict[str, Any]:
    """Send a correction to the model, or end the turn when a limit is reached."""
    if turn.count(kind) > limit:
        why = f"Stopped after {plural(limit, 'correction')}: {text}"
        return {"outcome": Outcome(status="failed", text=why, exit_code=1)}
    limits = await _limits(turn)
    correction: list[AnyMessage] = [note(text, id=f"note_{uuid4().hex}")]
    return limits if "outcome" in limits else {"messages": correction}


async def _waiting_for_runs(turn: Turn) -> bool:
    return await turn.services.store.runs.pending(turn.thread_id)
