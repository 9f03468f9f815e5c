"""The node that shortens the conversation. Older checkpoints and an artifact file keep the full text."""

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
from ml_intern.graph.events import Emit
from ml_intern.graph.state import AgentState, Outcome, estimate_tokens
from ml_intern.models.errors import ContextOverflow
from ml_intern.models.gateway import ModelRequest
from ml_intern.nodes.compaction.shorten import TokenAllowance, shortened, transcript
from ml_intern.nodes.guards.budget import hard_cap
from ml_intern.nodes.prompt import prompt, request_prefix
from ml_intern.nodes.results import emit_of, options_of, thread_of
from ml_intern.store.lock import file_error

MAX_OVERFLOWS = 3


@dataclass(frozen=True)
class CompactionInputs:
    """The inputs of one compaction."""

    messages: list[AnyMessage]
    allowance: TokenAllowance
    fixed: int
    """Tokens of the system prompt and the tool schemas."""
    options: RunOptions
    services: Services
    thread_id: str
    keep: str
    emit: Emit
    cap_usd: float | None
    artifact: Path
    """The file for the full text of the conversation."""


async def compact(state: AgentState, runtime: Runtime[RunOptions], *, services: Services) -> dict[str, Any]:
    """Shorten old outputs, else summarise the middle, else remove it, to fit the limit."""
    work = _work(state, runtime, services)
    requested = state.get("compaction") or {}
    manual = requested.get("reason") == "manual"
    overflows = (state.get("guard") or {}).get("overflows", 0)
    shorter = None
    if overflows < MAX_OVERFLOWS and work.allowance.tokens > 0:
        where = str(work.artifact)
        write = partial(_summary, work)
        shorter = await shortened(work.messages, work.allowance, write, where, manual=manual, hard=overflows > 1)
    if shorter is None:
        return {"compaction": None, "outcome": _failure(work, manual=manual)}
    await asyncio.to_thread(_save_full_text, work)
    before, after = (work.allowance.size(messages) + work.fixed for messages in (work.messages, shorter))
    removed = len(work.messages) - len(shorter)
    work.emit("compacted", before_tokens=before, after_tokens=after, removed=removed, artifact=str(work.artifact))
    done = Outcome(status="done", text="", exit_code=0)
    return {
        "messages": Overwrite(shorter),
        "compaction": None,
        "context_tokens": after,
        "context_limit": work.allowance.tokens + work.fixed,
        "outcome": done if manual else state.get("outcome"),
    }


def route_compact(state: AgentState) -> Literal["call_model", "__end__"]:
    """Go to call_model. End the run after a compaction that the user requested or that failed."""
    return "__end__" if state.get("outcome") else "call_model"


def _work(state: AgentState, runtime: Runtime[RunOptions], services: Services) -> CompactionInputs:
    options = options_of(runtime, services)
    messages = state.get("messages", [])
    fixed = request_prefix(state, options, services).tokens
    counted = max(0, state.get("context_tokens", 0) - fixed)
    return CompactionInputs(
        messages=messages,
        allowance=TokenAllowance(
            services.context_limit(options) - fixed, max(1.0, counted / max(1, estimate_tokens(messages)))
        ),
        fixed=fixed,
        options=options,
        services=services,
        thread_id=thread_of(runtime),
        keep=(state.get("compaction") or {}).get("keep", ""),
        emit=emit_of(runtime, services),
        cap_usd=hard_cap(state, options),
        artifact=services.artifacts(thread_of(runtime)) / f"compaction-{uuid4().hex}.md",
    )


def _failure(work: CompactionInputs, *, manual: bool) -> Outcome:
    if manual:
        return Outcome(
            status="done",
            text="Nothing to compact: there is no summary that is shorter than the conversation",
            exit_code=0,
        )
    if work.allowance.tokens <= 0:
        limit = work.allowance.tokens + work.fixed
        text = (
            f"The system prompt and the tools take {work.fixed} tokens, but only {limit} fit the model's context "
            "window. Choose a model with a larger window."
        )
    else:
        text = (
            "The conversation does not fit the model's context window, even after compaction. Undo the last message "
            "and pass long text as a file, or choose a model with a larger window."
        )
    return Outcome(status="failed", text=text, exit_code=1)


async def _summary(work: CompactionInputs, middle: Sequence[AnyMessage], words: int) -> str:
    """Return the model's summary of the middle; empty if the request did not fit or the reply was empty."""
    options = work.options
    model = options.compact_model or options.model
    window = work.services.models.window(model)
    length = 2 * max(2_000, min(work.allowance.tokens, window // 2 if window else work.allowance.tokens))
    text = transcript(middle)
    if len(text) > length:
        text = f"{text[: length // 3]}\n[...]\n{text[-length * 2 // 3 :]}"
    keep = f"The user asks you to preserve this: {work.keep}" if work.keep else ""
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
    """Pass on usage and errors only, because a summary is not a reply to the user."""

    def passed(type: str, /, **data: Any) -> None:
        if type in ("usage", "error"):
            emit(type, **data)

    return passed


def _save_full_text(work: CompactionInputs) -> None:
    """Save the full conversation to the artifact file.

    Raises:
        DiskFull, ConfigurationError: the file could not be written. The conversation is not shortened then.
    """
    try:
        private_folder(work.artifact.parent)
        work.artifact.write_text(transcript(work.messages), encoding="utf-8", errors="replace")
    except OSError as error:
        raise file_error(error, work.artifact) from error
