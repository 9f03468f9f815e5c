"""The node that bounds the loop. It changes nothing outside the state: it ends the turn, corrects, or lets pass."""

from dataclasses import dataclass
from typing import Any, Literal
from uuid import uuid4

from langchain_core.messages import AIMessage, AnyMessage, ToolCall
from langgraph.runtime import Runtime

from ml_intern.evidence.reported import unverified_in
from ml_intern.execution.tool import Services
from ml_intern.graph.context import RunOptions
from ml_intern.graph.events import Emit, emitter
from ml_intern.graph.limits import UNLIMITED
from ml_intern.graph.state import AgentState, Outcome, note, open_calls
from ml_intern.nodes.guards.budget import cap_of, check_budget, question, used_up
from ml_intern.nodes.guards.quota import MAX_REMINDERS, NEARLY, share_used
from ml_intern.nodes.guards.repetition import call_signature, repeats
from ml_intern.nodes.results import thread_of, unrun
from ml_intern.nodes.routing import before_model

MAX_NUDGES = 2
MAX_EMPTY = 2
MAX_CUT = 3
MAX_MALFORMED = 3


@dataclass(frozen=True)
class Turn:
    """What the checks look at. `guard` is their memory; they write to this copy of it."""

    state: AgentState
    options: RunOptions
    services: Services
    thread_id: str
    guard: dict[str, int]
    emit: Emit

    @property
    def unattended(self) -> bool:
        """Nobody can be asked."""
        return self.options.headless or self.options.child

    def count(self, kind: str) -> int:
        """Count one more of this kind in the guard."""
        self.guard[kind] = self.guard.get(kind, 0) + 1
        return self.guard[kind]


async def doom_check(state: AgentState, runtime: Runtime[RunOptions], *, services: Services) -> dict[str, Any]:
    """Look at the newest reply and decide whether the turn may go on, and how."""
    options, emit = runtime.context or services.defaults, emitter(runtime.stream_writer)
    turn = Turn(state, options, services, thread_of(runtime), dict(state.get("guard") or {}), emit)
    message, calls = open_calls(state["messages"])
    if message is None:
        update = await _check_text(turn)
    else:
        stop = _malformed(turn, message) or _going_round(turn, message, calls)
        update = stop or await _limits(turn) or await _share(turn)
        if "messages" in update:
            text = update.pop("messages")
            update["messages"] = unrun(calls, message, text, "refused", emit)
    return {**update, "guard": turn.guard}


async def route_check(state: AgentState) -> Literal["approval_interrupt", "compact", "call_model", "__end__"]:
    """Open calls go on to approval, a finished turn ends, a correction goes back to the model."""
    if open_calls(state["messages"])[1]:
        return "approval_interrupt"
    return "__end__" if state.get("outcome") else before_model(state)


def _malformed(turn: Turn, message: AIMessage) -> dict[str, Any]:
    """End the turn when every call of too many replies in a row was unusable."""
    invalid = message.additional_kwargs.get("invalid_calls", {})
    if not invalid or any(call["id"] not in invalid for call in message.tool_calls):
        turn.guard["malformed"] = 0
        return {}
    if turn.count("malformed") <= MAX_MALFORMED:
        return {}
    fault = next(iter(invalid.values()))["error"]
    return _stopped(f"the model sent {MAX_MALFORMED + 1} unusable calls in a row ({fault})")


def _going_round(turn: Turn, message: AIMessage, calls: list[ToolCall]) -> dict[str, Any]:
    """Correct a repeated call once, refuse it once, then ask the user; with nobody to ask, stop."""
    loop = repeats(turn.state.get("recent_calls", []), call_signature(calls[0]["name"], calls[0]["args"]))
    if not loop:
        turn.guard["repeats"] = 0
        return {}
    match turn.count("repeats"):
        case 1:
            return {"messages": f"Not run: {loop}. Say what you learned from it, then do something different."}
        case 2:
            return {"messages": f"Refused: {loop}, and you were told so. This call will not be run again."}
        case _ if turn.unattended:
            return _stopped(f"{loop}, and the model would not leave it")
        case _:
            text = f"The model is going round in circles: {loop}. Let it go on?"
            return {"question": {"id": f"question:{message.id}", "text": text, "kind": "loop"}}


def _stopped(why: str) -> dict[str, Any]:
    return {"messages": f"Not run: {why}.", "outcome": Outcome(status="failed", text=f"Stopped: {why}", exit_code=1)}


async def _limits(turn: Turn) -> dict[str, Any]:
    """The outcome when no further model call is allowed: the open calls still run, then the turn ends."""
    cap = turn.options.max_iterations
    if cap != UNLIMITED and turn.state.get("iteration", 0) >= cap:
        return {"outcome": Outcome(status="limit", text=f"The limit of {cap} model calls was reached", exit_code=124)}
    budget = cap_of(turn.state, turn.options)
    return {} if budget is None else await _budget(turn, budget)


async def _share(turn: Turn) -> dict[str, Any]:
    """A sub-agent near the end of its share is told to report; one that will not is ended."""
    if not turn.options.child:
        return {}
    used, words = await share_used(turn.state, turn.options, turn.services, turn.thread_id)
    if used < NEARLY:
        return {}
    if turn.count("reminders") <= MAX_REMINDERS:
        return {"messages": f"Not run: {words} are used. Report now what you found and what you did not find."}
    return {"outcome": Outcome(status="limit", text=f"Its share is used up: {words}", exit_code=124)}


async def _budget(turn: Turn, cap: float) -> dict[str, Any]:
    used = await turn.services.store.ledger.total(turn.options.root or turn.thread_id)
    if not check_budget(used, cap, turn.guard, turn.emit):
        return {}
    if turn.unattended:
        return {"outcome": used_up(used, cap)}
    return {"question": question(used, cap, turn.guard.get("raised", 0))}


async def _check_text(turn: Turn) -> dict[str, Any]:
    """A reply without calls: the end of the turn, or a reason to ask for more."""
    newest = turn.state["messages"][-1]
    reason = newest.response_metadata.get("finish_reason", "stop")
    if reason == "content_filter":
        return {"outcome": Outcome(status="failed", text="The provider filtered the reply", exit_code=1)}
    if reason == "length":
        return await _correct(
            turn, "cut", MAX_CUT, "Your reply was cut off at its limit. Go on exactly where it ended."
        )
    if not newest.text.strip():
        return await _correct(turn, "empty", MAX_EMPTY, "Your reply was empty. Call a tool, or answer the user.")
    open_steps = [s["text"] for s in turn.state.get("plan") or [] if s["status"] in ("pending", "in_progress")]
    planning = turn.options.approval_mode == "plan"
    if open_steps and not planning and turn.guard.get("nudges", 0) < MAX_NUDGES and not await _waiting_for_runs(turn):
        text = f"The plan has open steps: {'; '.join(open_steps)}. Do them, or mark as dropped what will not be done."
        return await _correct(turn, "nudges", MAX_NUDGES, text)
    await _look_at_claims(turn, newest.text)
    return {"outcome": Outcome(status="done", text=newest.text, exit_code=0)}


async def _look_at_claims(turn: Turn, answer: str) -> None:
    """Tell of numbers that nothing in the thread holds. A sub-agent's report has a review of its own."""
    if not turn.options.child:
        numbers = await unverified_in(answer, turn.state["messages"], turn.thread_id, turn.services)
        if numbers:
            turn.emit("unverified", numbers=numbers)


async def _correct(turn: Turn, kind: str, most: int, text: str) -> dict[str, Any]:
    """A note to the model, unless such notes or model calls are used up."""
    if turn.count(kind) > most:
        why = f"Stopped after {most} corrections: {text}"
        return {"outcome": Outcome(status="failed", text=why, exit_code=1)}
    limits = await _limits(turn)
    correction: list[AnyMessage] = [note(text, id=f"note_{uuid4().hex}")]
    return limits if "outcome" in limits else {"messages": correction}


async def _waiting_for_runs(turn: Turn) -> bool:
    return await turn.services.store.runs.pending(turn.thread_id)
