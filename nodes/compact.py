"""The node that shortens the conversation. Older checkpoints keep the whole, and so does an artifact file."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from langchain_core.messages import AnyMessage, HumanMessage, SystemMessage
from langgraph.runtime import Runtime
from langgraph.types import Overwrite

from ml_intern.configs.errors import LimitReached
from ml_intern.configs.paths import private_folder
from ml_intern.execution.tool import Services
from ml_intern.graph.context import RunOptions
from ml_intern.graph.events import Emit, emitter
from ml_intern.graph.state import AgentState, Outcome, estimate_tokens
from ml_intern.models.errors import ContextOverflow
from ml_intern.models.gateway import ModelRequest
from ml_intern.nodes.compaction.shorten import Room, shortened, transcript
from ml_intern.nodes.guards.budget import hard_cap
from ml_intern.nodes.prompt import fixed_part, prompt
from ml_intern.nodes.results import thread_of
from ml_intern.nodes.routing import context_size
from ml_intern.store.lock import file_error

MAX_OVERFLOWS = 3


@dataclass(frozen=True)
class Work:
    """What a compaction has at hand."""

    messages: list[AnyMessage]
    room: Room
    fixed: int
    """Tokens that every request takes besides the messages."""
    options: RunOptions
    services: Services
    thread_id: str
    keep: str
    emit: Emit
    cap_usd: float | None
    artifact: Path
    """The file that keeps what is shortened here."""


async def compact(state: AgentState, runtime: Runtime[RunOptions], *, services: Services) -> dict[str, Any]:
    """Shorten old outputs, else summarise the middle, else cut it; only a result under the limit is accepted."""
    work = _work(state, runtime, services)
    wish = state.get("compaction") or {}
    manual = wish.get("reason") == "manual"
    overflows = (state.get("guard") or {}).get("overflows", 0)
    shorter = None
    if overflows < MAX_OVERFLOWS and work.room.tokens > 0:
        where = str(work.artifact)
        write = partial(_summary, work)
        shorter = await shortened(work.messages, work.room, write, where, manual=manual, hard=overflows > 1)
    if shorter is None:
        return {"compaction": None, "outcome": _unable(work, manual=manual)}
    await asyncio.to_thread(_keep_whole, work)
    after = work.room.size(shorter) + work.fixed
    removed = len(work.messages) - len(shorter)
    before = context_size(state)
    work.emit("compacted", before_tokens=before, after_tokens=after, removed=removed, artifact=str(work.artifact))
    done = Outcome(status="done", text=f"Compacted {before} to {after} tokens", exit_code=0)
    return {
        "messages": Overwrite(shorter),
        "compaction": None,
        "context_tokens": after,
        "context_limit": work.room.tokens + work.fixed,
        "outcome": done if manual else state.get("outcome"),
    }


async def route_compact(state: AgentState) -> Literal["call_model", "__end__"]:
    """On to the model; a compaction the user asked for, or one that could not be done, ends here."""
    return "__end__" if state.get("outcome") else "call_model"


def _work(state: AgentState, runtime: Runtime[RunOptions], services: Services) -> Work:
    options = runtime.context or services.defaults
    messages = state.get("messages", [])
    fixed = fixed_part(state, options, services).tokens
    counted = max(0, state.get("context_tokens", 0) - fixed)
    return Work(
        messages=messages,
        room=Room(services.context_limit(options) - fixed, max(1.0, counted / max(1, estimate_tokens(messages)))),
        fixed=fixed,
        options=options,
        services=services,
        thread_id=thread_of(runtime),
        keep=(state.get("compaction") or {}).get("keep", ""),
        emit=emitter(runtime.stream_writer),
        cap_usd=hard_cap(state, options),
        artifact=services.artifacts(thread_of(runtime)) / f"compaction-{uuid4().hex[:8]}.md",
    )


def _unable(work: Work, *, manual: bool) -> Outcome:
    if manual:
        return Outcome(status="done", text="Nothing to compact: the conversation is already short", exit_code=0)
    if work.room.tokens <= 0:
        limit = work.room.tokens + work.fixed
        text = f"The instructions and the tools alone take {work.fixed} tokens of a window of {limit}"
    else:
        text = (
            "The conversation does not fit the model's window, and compaction could not make it fit (undo takes the "
            "last message back; name a long text as a file, or choose a model with a larger window)"
        )
    return Outcome(status="failed", text=text, exit_code=1)


async def _summary(work: Work, middle: Sequence[AnyMessage], words: int) -> str:
    """The model's notes on the middle; empty when it did not fit or nothing came."""
    options = work.options
    model = options.compact_model or options.model
    window = work.services.models.window(model)
    room = 2 * max(2_000, min(work.room.tokens, window // 2 if window else work.room.tokens))
    text = transcript(middle)
    if len(text) > room:
        text = f"{text[: room // 3]}\n[...]\n{text[-room * 2 // 3 :]}"
    keep = f"The user asks that this stays: {work.keep}" if work.keep else ""
    request = ModelRequest(
        model=model,
        messages=[
            SystemMessage(prompt("compact").substitute(words=words, keep=keep), id="system"),
            HumanMessage(text, id="middle"),
        ],
        tools=[],
        thread_id=work.thread_id,
        root_id=options.root or work.thread_id,
        source="compaction",
        stream=options.stream,
        params=options.model_params if model == options.model else {},
        fallback=options.fallback_model,
        cap_usd=work.cap_usd,
    )
    try:
        reply = await work.services.models.complete(request, _only_usage(work.emit))
    except (ContextOverflow, LimitReached):
        return ""
    return reply.message.text.strip()


def _only_usage(emit: Emit) -> Emit:
    """Notes for a summary are no reply to the user: only spending and waits are shown."""

    def passed(type: str, /, **data: Any) -> None:
        if type in ("usage", "error"):
            emit(type, **data)

    return passed


def _keep_whole(work: Work) -> None:
    """Write the conversation as it was. Raises DiskFull or ConfigurationError: what is shortened must be somewhere."""
    try:
        private_folder(work.artifact.parent)
        work.artifact.write_text(transcript(work.messages), encoding="utf-8", errors="replace")
    except OSError as fault:
        raise file_error(fault, work.artifact) from fault
