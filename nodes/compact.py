"""The node that shortens the conversation. Older checkpoints keep the whole, and so does an artifact file."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from langchain_core.messages import AnyMessage, HumanMessage, SystemMessage
from langgraph.runtime import Runtime
from langgraph.types import Overwrite

from configs.errors import LimitReached
from configs.paths import private_folder
from configs.prompt import prompt
from graph.context import RunOptions, Services, context_limit
from graph.events import Emit, emitter
from graph.state import AgentState, Outcome, estimate_tokens
from models.faults import ContextOverflow
from models.gateway import ModelRequest
from nodes.budget import hard_cap
from nodes.results import thread_of
from nodes.routing import context_size
from nodes.shorten import OLD_OUTPUT, join, shorten_outputs, split, transcript
from store.lock import file_error

TAIL_SHARE = 4
"""One part in so many of the limit is kept as it is."""
GOAL_SHARE = 2
"""Shortened outputs suffice when they bring the conversation under this part of the limit."""
SUMMARY_WORDS = (1_200, 400)
MAX_OVERFLOWS = 3


@dataclass(frozen=True)
class Work:
    """What a compaction has at hand. Sizes are tokens, estimated, scaled to how the provider counted before."""

    messages: list[AnyMessage]
    limit: int
    scale: float
    options: RunOptions
    services: Services
    thread_id: str
    keep: str
    emit: Emit
    cap_usd: float | None
    artifact: Path
    """The file that keeps what is shortened here."""

    def size(self, messages: list[AnyMessage]) -> int:
        """Tokens of the messages, as the provider would count them."""
        return int(estimate_tokens(messages) * self.scale)


async def compact(state: AgentState, runtime: Runtime[RunOptions], *, services: Services) -> dict[str, Any]:
    """Shorten old outputs, else summarise the middle, else cut it; only a result under the limit is accepted."""
    work = _work(state, runtime, services)
    wish = state.get("compaction") or {}
    manual = wish.get("reason") == "manual"
    overflows = (state.get("guard") or {}).get("overflows", 0)
    shorter = None
    if overflows < MAX_OVERFLOWS and len(work.messages) > 1:
        shorter = await _shorten(work, manual=manual, hard=overflows > 1)
    if shorter is None:
        return {"compaction": None, "outcome": _unable(manual)}
    await asyncio.to_thread(_keep_whole, work)
    after = work.size(shorter)
    removed = len(work.messages) - len(shorter)
    before = context_size(state)
    work.emit("compacted", before_tokens=before, after_tokens=after, removed=removed, artifact=str(work.artifact))
    done = Outcome(status="done", text=f"Compacted {before} to {after} tokens", exit_code=0)
    return {
        "messages": Overwrite(shorter),
        "compaction": None,
        "context_tokens": after,
        "context_limit": work.limit,
        "outcome": done if manual else state.get("outcome"),
    }


async def route_compact(state: AgentState) -> Literal["call_model", "__end__"]:
    """On to the model; a compaction the user asked for, or one that could not be done, ends here."""
    return "__end__" if state.get("outcome") else "call_model"


def _work(state: AgentState, runtime: Runtime[RunOptions], services: Services) -> Work:
    options = runtime.context or services.defaults
    messages = state.get("messages", [])
    counted = state.get("context_tokens", 0)
    return Work(
        messages=messages,
        limit=context_limit(options, services),
        scale=max(1.0, counted / max(1, estimate_tokens(messages))),
        options=options,
        services=services,
        thread_id=thread_of(runtime),
        keep=(state.get("compaction") or {}).get("keep", ""),
        emit=emitter(runtime.stream_writer),
        cap_usd=hard_cap(state, options),
        artifact=services.artifacts(thread_of(runtime)) / f"compaction-{uuid4().hex[:8]}.md",
    )


def _unable(manual: bool) -> Outcome:  # noqa: FBT001 a word for the outcome
    if manual:
        return Outcome(status="done", text="Nothing to compact: the conversation is already short", exit_code=0)
    text = (
        "The conversation does not fit the model's window, and compaction could not make it fit (undo takes the last "
        "message back; name a long text as a file, or choose a model with a larger window)"
    )
    return Outcome(status="failed", text=text, exit_code=1)


async def _shorten(work: Work, *, manual: bool, hard: bool) -> list[AnyMessage] | None:
    where = str(work.artifact)
    room = estimate_tokens(work.messages) if manual else work.limit / work.scale
    keep = max(1, int(room / TAIL_SHARE / (4 if hard else 1)))
    older, tail = split(work.messages, keep)
    if not manual and not hard:
        light = [*shorten_outputs(older, OLD_OUTPUT, where), *tail]
        if work.size(light) < work.limit // GOAL_SHARE:
            return light
    if not older:
        older, tail = tail[:1], tail[1:]
    tail = shorten_outputs(tail, max(OLD_OUTPUT, keep * 2), where) if hard or work.size(tail) > keep * 2 else tail
    task, middle = older[0], older[1:]
    for limit in SUMMARY_WORDS if middle else ():
        summary = await _summary(work, shorten_outputs(middle, OLD_OUTPUT, where), limit)
        shorter: list[AnyMessage] = join(task, summary, middle, tail, uuid4().hex) if summary else []
        if shorter and work.size(shorter) < work.limit:
            return shorter
    cut = join(task, f"[What came between is in {where}.]", middle, tail, uuid4().hex)
    return cut if work.size(cut) < work.limit and len(cut) < len(work.messages) + 2 else None


async def _summary(work: Work, middle: list[AnyMessage], words: int) -> str:
    """The model's notes on the middle; empty when it did not fit or nothing came."""
    room = max(4_000, work.limit * 2)
    text = transcript(middle)
    if len(text) > room:
        text = f"{text[: room // 3]}\n[...]\n{text[-room * 2 // 3 :]}"
    keep = f"The user asks that this stays: {work.keep}" if work.keep else ""
    options = work.options
    model = options.compact_model or options.model
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
