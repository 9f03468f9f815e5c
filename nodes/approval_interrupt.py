"""The node that asks for approval: one interrupt for every pending request. It is the only caller of interrupt()."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from langchain_core.messages import AIMessage
from langchain_core.messages import ToolCall as MessageCall
from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime
from langgraph.types import Overwrite, interrupt

from ml_intern.execution.call import ToolCall
from ml_intern.execution.calls import tool_call, tool_context
from ml_intern.execution.policy_inputs import always_offers
from ml_intern.execution.run import call_error, certain_failure, judge
from ml_intern.execution.tool import Services, ToolContext
from ml_intern.graph.context import RunOptions
from ml_intern.graph.events import Emit
from ml_intern.graph.state import AgentState, Outcome, open_calls
from ml_intern.nodes.guards.collection import collection_answer, collection_question
from ml_intern.nodes.results import emit_of, options_of, results_not_run, thread_of
from ml_intern.nodes.routing import before_model
from ml_intern.safety.policy import Verdict
from ml_intern.store.checkpoints.steps import KnowsNewCheckpoints
from ml_intern.store.permissions import Grant


@dataclass(frozen=True)
class JudgedCall:
    """A call with its policy verdict and the digest that the user's answer is bound to."""

    call: ToolCall
    verdict: Verdict
    digest: str
    always: tuple[Grant, ...] = ()
    """The grants that "yes, always" would create; empty where that answer is not offered."""


DECISIONS = ("approve", "edit", "reject", "respond")


async def approval_interrupt(
    state: AgentState, runtime: Runtime[RunOptions], config: RunnableConfig, *, services: Services
) -> dict[str, Any]:
    """Ask in one batch for the approvals that policy requires and for an answer to doom_check's question.

    The node restarts from its first line on every resume, so it has no side effects before the interrupt.
    """
    options = options_of(runtime, services)
    message, calls = open_calls(state["messages"])
    if message is None and not state.get("question"):
        return {}
    context = tool_context(state, thread_of(runtime), options, services, emit_of(runtime, services))
    question, before = state.get("question"), await _asked_before(config, runtime)
    verdicts = await _verdicts(calls, message, context) if message else []
    if before is None:
        verdicts = [one async for one in _without_failing(verdicts, context)]
    asked = question or collection_question(verdicts, state, context)
    if before is None and not asked and all(verdict.kind != "ask" for _, verdict in verdicts):
        return {"decisions": {}}
    judged = await _judged_calls(verdicts, context)
    repeated = _repeated(judged, state.get("rejected") or {})
    new = [one for one in judged if one.call.id not in repeated]
    conditions = {"sandbox": context.sandbox_profile, "add_dirs": list(options.add_dirs)}
    batch = before or {**_batch(new, asked), **conditions}
    if not batch["action_requests"]:
        return {"decisions": repeated}
    answer = interrupt(batch)
    decisions = repeated | _bind(answer, batch["action_requests"], {one.call.id: one.digest for one in judged})
    if question and decisions.get(question["id"], {"type": "reject"})["type"] == "reject":
        return _stop(question, calls, message, context.emit)
    return {"decisions": decisions, **collection_answer(decisions), **(_continue(state, question) if question else {})}


def route_approval(state: AgentState) -> Literal["execute_tools", "compact", "call_model", "__end__"]:
    """Run the open calls. End the turn if the user stopped it."""
    if open_calls(state["messages"])[1]:
        return "execute_tools"
    return "__end__" if state.get("outcome") else before_model(state)


async def _verdicts(
    calls: list[MessageCall], message: AIMessage, context: ToolContext
) -> list[tuple[ToolCall, Verdict]]:
    """Return policy's verdict on every valid call."""
    invalid = message.additional_kwargs.get("invalid_calls", {})
    found = [tool_call(call, message) for call in calls]
    return [
        (call, await judge(call, context)) for call in found if call_error(call, context, invalid.get(call.id)) is None
    ]


async def _without_failing(
    verdicts: list[tuple[ToolCall, Verdict]], context: ToolContext
) -> AsyncIterator[tuple[ToolCall, Verdict]]:
    """Yield the verdicts, without a question about a call that fails in any case.

    An earlier call of the batch may change that: a call with the same path, or one whose files are not known.
    """
    earlier, unknown = set[Path](), False
    for call, verdict in verdicts:
        spec = context.services.tools[call.name]
        paths = {Path(os.path.normpath(context.workspace / str(call.args.get(name, "")))) for name in spec.path_args}
        alone = not unknown and paths.isdisjoint(earlier)
        if verdict.kind == "ask" and alone and await certain_failure(call, context):
            yield call, Verdict("allow", "it fails in any case")
            continue
        yield call, verdict
        earlier |= paths
        unknown |= not (spec.only_reads(call.args) or spec.result_text)


async def _judged_calls(verdicts: list[tuple[ToolCall, Verdict]], context: ToolContext) -> list[JudgedCall]:
    # The path is resolved, so that a workspace replaced by a link to another folder invalidates the answer.
    folder = await asyncio.to_thread(os.path.realpath, context.workspace)
    return [
        JudgedCall(
            call,
            verdict,
            call.digest(folder, context.sandbox_profile),
            await always_offers(call, context) if verdict.kind == "ask" else (),
        )
        for call, verdict in verdicts
    ]


def _repeated(judged: list[JudgedCall], rejected: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Reject the calls that the user already rejected in the same form, without asking again."""
    reason = "the user has already rejected this exact call and is not asked again"
    return {
        one.call.id: _unanswered(": ".join(filter(None, [reason, rejected[one.digest]])), one.digest)
        for one in judged
        if one.verdict.kind == "ask" and one.digest in rejected
    }


def _unanswered(why: str, digest: str) -> dict[str, Any]:
    """Return a rejection that the user did not give for this call."""
    return {"type": "reject", "message": why, "digest": digest, "unasked": True}


def _batch(judged: list[JudgedCall], question: dict[str, Any] | None) -> dict[str, Any]:
    requests: list[dict[str, Any]] = [
        {
            "id": one.call.id,
            "name": one.call.name,
            "args": dict(one.call.args),
            "description": one.verdict.why,
            "digest": one.digest,
            "always": [grant.as_json() for grant in one.always],
        }
        for one in judged
        if one.verdict.kind == "ask"
    ]
    names = (request["name"] for request in requests)
    configs = [{"action_name": name, "allowed_decisions": list(DECISIONS)} for name in dict.fromkeys(names)]
    if question:
        requests.append(
            {"id": question["id"], "name": "question", "args": {}, "description": question["text"], "digest": ""}
        )
        configs.append({"action_name": "question", "allowed_decisions": ["approve", "reject"]})
    return {"action_requests": requests, "review_configs": configs, "since": time.time()}


async def _asked_before(config: RunnableConfig, runtime: Runtime[RunOptions]) -> dict[str, Any] | None:
    """Return the batch that the user was shown, on a resume, else None.

    Policy's verdicts may have changed since then. The answer still belongs to the batch that was shown.
    """
    saver, here = config["configurable"].get("__pregel_checkpointer"), runtime.execution_info
    if saver is None or here is None:
        return None
    where = {"thread_id": here.thread_id, "checkpoint_ns": "", "checkpoint_id": here.checkpoint_id}
    if isinstance(saver, KnowsNewCheckpoints) and saver.is_new(str(here.thread_id), here.checkpoint_id):
        return None
    saved = await saver.aget_tuple({"configurable": where})
    for task_id, channel, value in reversed(saved.pending_writes or [] if saved else []):
        if channel == "__interrupt__" and task_id == here.task_id:
            return cast(dict[str, Any], value[0].value)
    return None


def _bind(answer: Any, requests: list[dict[str, Any]], digests: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the decisions by call id. Reject a call that was not answered or that differs from the one shown."""
    given = answer.get("decisions", answer) if isinstance(answer, Mapping) else answer
    if not isinstance(given, Mapping):
        given = {request["id"]: one for request, one in zip(requests, given or [], strict=False)}
    return {request["id"]: _decision(given.get(request["id"]), request, digests) for request in requests}


def _decision(given: Any, request: dict[str, Any], digests: Mapping[str, str]) -> dict[str, Any]:
    digest = request["digest"]
    if digest != digests.get(request["id"], ""):
        return _unanswered("the call differs from the one the user was asked about", digest)
    if not isinstance(given, Mapping) or given.get("type") not in DECISIONS:
        return _unanswered("the request was not answered", digest)
    decision = {"type": given["type"], "digest": digest}
    if given.get("message"):
        decision["message"] = str(given["message"])
    edited = given.get("args", (given.get("edited_action") or {}).get("args"))
    return {**decision, "args": edited} if decision["type"] == "edit" else decision


def _stop(question: dict[str, Any], calls: list[MessageCall], message: AIMessage | None, emit: Emit) -> dict[str, Any]:
    text = "Not run: the user stopped the turn."
    budget = question.get("kind") == "budget"
    outcome = Outcome(status="limit" if budget else "stopped", text=question["text"], exit_code=124 if budget else 1)
    return {
        "messages": results_not_run(calls, message, text, "rejected", emit) if message else [],
        "question": None,
        "outcome": outcome,
    }


def _continue(state: AgentState, question: dict[str, Any]) -> dict[str, Any]:
    """Return the update for a yes: a larger budget, or a new start for the loop guard."""
    guard = dict(state.get("guard") or {})
    if question.get("kind") == "budget":
        return {"question": None, "guard": {**guard, "raised": guard.get("raised", 0) + 1, "warned": 0}}
    return {"question": None, "guard": {**guard, "repeats": 0}, "recent_calls": Overwrite([])}
