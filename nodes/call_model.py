"""The node that requests one reply from the model. doom_check decides what follows from the reply."""

from collections.abc import Sequence
from itertools import chain
from typing import Any, Literal

from langchain_core.messages import AIMessage, AnyMessage
from langgraph.runtime import Runtime
from langgraph.types import Overwrite

from ml_intern.configs.errors import LimitReached
from ml_intern.execution.inbox import Steered
from ml_intern.execution.tool import Services
from ml_intern.graph.context import RunOptions
from ml_intern.graph.events import Emit
from ml_intern.graph.limits import sent_effort
from ml_intern.graph.state import AgentState, Outcome
from ml_intern.models.errors import ContextOverflow
from ml_intern.models.gateway import ModelRequest
from ml_intern.nodes.guards.budget import hard_cap, question_before_turn
from ml_intern.nodes.prompt import request_prefix
from ml_intern.nodes.redaction import RedactingEmit, redacted_message
from ml_intern.nodes.results import emit_of, options_of, repair, thread_of
from ml_intern.nodes.run_news import unreported_news


async def call_model(state: AgentState, runtime: Runtime[RunOptions], *, services: Services) -> dict[str, Any]:
    """Stream one reply to the conversation. On a context overflow, request a compaction instead.

    If the user has sent messages to the running turn, add them to the conversation instead. They are on disk before
    the next call of this node sends them.
    """
    options = options_of(runtime, services)
    thread_id, emit = thread_of(runtime), emit_of(runtime, services)
    if question := await question_before_turn(state, options, services, thread_id):
        return {"question": question}
    if steered := _steered(thread_id, services):
        return _with_steered(state, steered, emit)
    repaired = repair(state["messages"])
    messages = repaired if repaired is not None else state["messages"]
    news = await unreported_news(services.store, thread_id, state.get("reported_runs", []))
    request = _request(state, [*messages, *news.messages], options, services, thread_id)
    try:
        reply = await services.models.complete(request, RedactingEmit(emit))
    except ContextOverflow:
        return _after_overflow(state)
    except LimitReached as reached:
        return {"outcome": Outcome(status="limit", text=str(reached), exit_code=reached.exit_code)}
    message = redacted_message(reply.message)
    update: dict[str, Any] = {
        "messages": [*news.messages, message] if repaired is None else Overwrite([*messages, *news.messages, message]),
        "iteration": state.get("iteration", 0) + 1,
        "context_tokens": reply.usage.input_tokens + reply.usage.output_tokens,
        "context_limit": services.context_limit(options),
        "replies": state.get("replies", 0) + 1,
        "compaction": None,
    }
    if (state.get("guard") or {}).get("overflows"):
        update["guard"] = {**state["guard"], "overflows": 0}
    if news.ids:
        update["reported_runs"] = [*state.get("reported_runs", []), *news.ids]
        update["taint"] = list(dict.fromkeys([*(state.get("taint") or []), *news.sources]))
    _announce(message, emit)
    return update


def route_model(state: AgentState) -> Literal["compact", "doom_check", "__end__"]:
    """Go to compact after an overflow, and to doom_check after a reply or a message of the user.

    End the turn if the budget allows no request.
    """
    if state.get("outcome"):
        return "__end__"
    return "compact" if state.get("compaction") else "doom_check"


def _steered(thread_id: str, services: Services) -> Sequence[Steered]:
    inbox = services.scopes[thread_id].inbox if thread_id in services.scopes else None
    return inbox.take_steered() if inbox is not None else ()


def _with_steered(state: AgentState, steered: Sequence[Steered], emit: Emit) -> dict[str, Any]:
    """Add messages of the user. What the user rejected before may be asked about again, as after every message."""
    sources = [source for one in steered for source in one.sources]
    for one in steered:
        emit("steered", turn=state.get("turn", 0), text=one.message.text, id=one.message.id)
    return {
        "messages": [one.message for one in steered],
        "rejected": {},
        "taint": list(dict.fromkeys([*(state.get("taint") or []), *sources])),
        "file_reads": dict(chain.from_iterable(one.file_reads.items() for one in steered)),
    }


def _request(
    state: AgentState, messages: list[AnyMessage], options: RunOptions, services: Services, thread_id: str
) -> ModelRequest:
    fixed = request_prefix(state, options, services)
    return ModelRequest(
        model=options.model,
        messages=[fixed.system, *messages],
        tools=fixed.schemas,
        thread_id=thread_id,
        root_id=options.root or thread_id,
        source="research" if options.child else "main",
        effort=sent_effort(options.effort),
        stream=options.stream,
        params=options.model_params,
        fallback=options.fallback_model,
        known_call_ids=frozenset(m.tool_call_id for m in messages if m.type == "tool"),
        cap_usd=hard_cap(state, options),
        step=state.get("replies", 0),
    )


def _after_overflow(state: AgentState) -> dict[str, Any]:
    guard = state.get("guard") or {}
    return {
        "compaction": {"reason": "overflow", "keep": ""},
        "guard": {**guard, "overflows": guard.get("overflows", 0) + 1},
    }


def _announce(message: AIMessage, emit: Emit) -> None:
    emit(
        "assistant_message",
        message_id=message.id,
        text=message.text,
        reasoning=message.additional_kwargs.get("reasoning_content", ""),
        tool_calls=[{"id": call["id"], "name": call["name"], "args": call["args"]} for call in message.tool_calls],
    )
