"""The node that runs the open calls in the model's order, and adjacent read-only calls concurrently."""

import asyncio
from collections.abc import Iterator
from itertools import groupby
from typing import Any, Literal, cast

from langchain_core.messages import AIMessage, AnyMessage, ToolCall
from langgraph.runtime import Runtime

from ml_intern.execution.call import ToolResult
from ml_intern.execution.calls import tool_call, tool_context
from ml_intern.execution.run import run_call
from ml_intern.execution.tool import Services
from ml_intern.graph.context import RunOptions
from ml_intern.graph.events import Emit
from ml_intern.graph.state import AgentState, as_run, open_calls, result_message
from ml_intern.nodes.guards.budget import with_cap
from ml_intern.nodes.guards.repetition import signature
from ml_intern.nodes.results import emit_of, options_of, results_not_run, thread_of
from ml_intern.nodes.routing import before_model
from ml_intern.nodes.verification import asked_answer, prepare_evidence, run_verification, verdict_on

CONCURRENT_READS = 16
"""Maximum of calls that run at the same time."""


async def execute_tools(state: AgentState, runtime: Runtime[RunOptions], *, services: Services) -> dict[str, Any]:
    """Run every open call, checked by policy and recorded in the journal, and write one result per call."""
    options = options_of(runtime, services)
    thread_id = thread_of(runtime)
    message, calls = open_calls(state["messages"])
    if message is None and asked_answer(state):
        return await run_verification(state, thread_id, options, services)
    if message is None:
        return {}
    if (files := services.scopes[thread_id].files) is not None:
        await files.settled()
    emit = emit_of(runtime, services)
    batch = _Batch(state, message, thread_id, with_cap(state, options), services, emit)
    answers: list[AnyMessage] = []
    for group in _groups(calls, services):
        answers += await _run_concurrently(batch, group)
    return {"messages": answers, "recent_calls": batch.signatures(calls), "decisions": {}, **batch.updates}


def route_tools(state: AgentState) -> Literal["doom_check", "compact", "call_model", "__end__"]:
    """Go back to the model unless the turn has an outcome, or to doom_check with the verdict on an answer."""
    if not state.get("outcome") and verdict_on(state) is not None:
        return "doom_check"
    return "__end__" if state.get("outcome") else before_model(state)


def _groups(calls: list[ToolCall], services: Services) -> Iterator[list[ToolCall]]:
    """Yield adjacent read-only calls as one group and every other call as its own group."""

    def reads(call: ToolCall) -> bool:
        spec = services.tools.get(call["name"])
        return spec is not None and spec.only_reads(call["args"])

    for together, group in groupby(calls, reads):
        if together:
            yield list(group)
        else:
            yield from ([call] for call in group)


async def _run_concurrently(batch: "_Batch", calls: list[ToolCall]) -> list[AnyMessage]:
    """Run calls that only read, at most CONCURRENT_READS at a time. Return their results in the order of the calls."""
    free = asyncio.Semaphore(CONCURRENT_READS)

    async def run(call: ToolCall) -> list[AnyMessage]:
        async with free:
            return await batch.run(call)

    tasks = [asyncio.ensure_future(run(call)) for call in calls]
    try:
        return [message for messages in await asyncio.gather(*tasks) for message in messages]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Batch:
    """The open calls of one AIMessage, and the state updates from running them."""

    def __init__(
        self,
        state: AgentState,
        message: AIMessage,
        thread_id: str,
        options: RunOptions,
        services: Services,
        emit: Emit,
    ) -> None:
        self.state = state
        self.message = message
        self.thread_id = thread_id
        self.options = options
        self.services = services
        self.emit = emit
        self.updates: dict[str, Any] = {}
        self._file_reads: dict[str, str] = {}
        self._results: dict[str, str] = {}

    async def run(self, call: ToolCall) -> list[AnyMessage]:
        """Run or reject one call as the user decided, and return its result."""
        decision = (self.state.get("decisions") or {}).get(call["id"] or "", {})
        match decision.get("type"):
            case "reject" if decision.get("unasked"):
                self._results[call["id"] or ""] = (
                    "rejected"  # counted by the loop guard, which would miss the repetition otherwise
                )
                return results_not_run([call], self.message, f"Not run: {decision['message']}", "rejected", self.emit)
            case "reject":
                self._remember_rejected(decision)
                text = f"Not run: the user rejected it. {decision.get('message', '')}".strip()
                return results_not_run([call], self.message, text, "rejected", self.emit)
            case "respond":
                text = f"Not run. The user replied: {decision.get('message', '')}"
                return results_not_run([call], self.message, text, "rejected", self.emit)
        edited = decision.get("args") if decision.get("type") == "edit" else None
        result = await self._run(call, edited, approved=bool(decision))
        self._remember(call, result)
        text = as_run(result.text, decision)
        shown = {"images": result.images, "written": result.images_written}
        return [result_message(call, self.message, text, ok=result.ok, **shown)]

    async def _run(self, call: ToolCall, edited: dict[str, Any] | None, *, approved: bool) -> ToolResult:
        state = cast(AgentState, {**self.state, "file_reads": {**self.state.get("file_reads", {}), **self._file_reads}})
        options = self.services.in_current_mode(self.options, self.thread_id)
        context = tool_context(state, self.thread_id, options, self.services, self.emit, approved=approved)
        invalid = self.message.additional_kwargs.get("invalid_calls", {}).get(call["id"])
        made = tool_call(call, self.message, edited)
        result = await run_call(made, context, invalid)
        prepare_evidence(made, result, context)
        return result

    def _remember_rejected(self, decision: dict[str, Any]) -> None:
        known = self.updates.get("rejected", self.state.get("rejected") or {})
        self.updates["rejected"] = {**known, decision["digest"]: decision.get("message", "")}

    def _remember(self, call: ToolCall, result: ToolResult) -> None:
        self._results[call["id"] or ""] = result.text
        self.updates.update(result.state or {})
        if result.file_reads:
            self._file_reads.update(result.file_reads)
            self.updates["file_reads"] = self._file_reads
        known = self.updates.get("taint", self.state.get("taint") or [])
        if new := [source for source in result.taint if source not in known]:
            self.updates["taint"] = [*known, *new]

    def signatures(self, calls: list[ToolCall]) -> list[str]:
        """Return the signatures of the calls that ran, for the loop guard."""
        return [
            signature(call["name"], call["args"], self._results[call["id"] or ""])
            for call in calls
            if call["id"] in self._results
        ]
