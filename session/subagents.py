"""Sub-agents. Each runs the same graph in a child thread. Its spending and events belong to its parent."""

import asyncio
import contextvars
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from weakref import WeakValueDictionary

from ml_intern.execution.call import ToolResult
from ml_intern.execution.tool import Review, Services, SourceRead, SubagentQuota, ToolContext
from ml_intern.graph.context import RunOptions
from ml_intern.graph.operations import UserInput
from ml_intern.session.listing import ThreadListing
from ml_intern.session.turns.turns import Turns
from ml_intern.text.formatting import plural

if TYPE_CHECKING:
    from ml_intern.session.turns.turns import AgentApp

MAX_CONCURRENT = 2
"""The maximum number of sub-agents of one tree that run at the same time; others wait."""
MAX_CORRECTIONS = 1
"""The number of times that a sub-agent may be asked to correct its report."""
_LINE = 160


@dataclass(frozen=True)
class Children:
    """Runs sub-agents on the compiled graph. It is in the scope of each thread that may start them."""

    app: "AgentApp"
    services: Services
    slots: "WeakValueDictionary[str, asyncio.Semaphore]" = field(default_factory=WeakValueDictionary)

    async def __call__(
        self, task: str, context: ToolContext, share: SubagentQuota, *, resume: str = "", review: Review | None = None
    ) -> ToolResult:
        """Start a sub-agent with `task`, or continue the child thread `resume`. Return its reviewed report."""
        child_id = resume or str(uuid4())
        if not resume:
            await context.set_handle(child_id)
        progress = _Progress(context, share)
        slot = self.slots.setdefault(context.root_id, asyncio.Semaphore(MAX_CONCURRENT))
        if slot.locked():
            progress.line(f"waiting: {plural(MAX_CONCURRENT, 'sub-agent')} already running")
        async with slot:
            return await self._run_isolated(_Child(self, child_id, task, context, share, review), progress)

    async def _run_isolated(self, child: "_Child", progress: "_Progress") -> ToolResult:
        """Run a child in an empty context, and cancel it if the caller is cancelled.

        LangGraph treats a run that starts inside a node as a subgraph of that node, unless its context is empty. Events
        are published in the parent's context, because that context leads to the parent's stream.
        """
        here = contextvars.copy_context()

        def publish(event: Mapping[str, Any]) -> None:
            here.run(progress.show, event)

        run = asyncio.get_running_loop().create_task(child.run(publish), context=contextvars.Context())
        try:
            return await run
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)


@dataclass(frozen=True)
class _Child:
    """One sub-agent."""

    owner: Children
    id: str
    task: str
    context: ToolContext
    share: SubagentQuota
    review: Review | None

    async def run(self, publish: Any) -> ToolResult:
        """Start or continue the child's thread until it reports."""
        store, options = self.owner.services.store, self._options()
        async with store.hold(self.id):
            if await store.threads.get(self.id) is None:
                await store.threads.create(
                    id=self.id, title=self.task[:80], folder=options.workspace, parent=self.context.thread_id
                )
            with self._scope():
                return await self._report(Turns(self.owner.app, self.owner.services, self.id), options, publish)

    @contextmanager
    def _scope(self) -> Iterator[None]:
        """Open a scope for the child's thread, without sub-agents and messages of the user."""
        scopes = self.owner.services.scopes
        scopes.open(self.id, replace(self.context.scope, spawn=None, inbox=None))
        try:
            yield
        finally:
            scopes.close(self.id)

    async def _report(self, turns: Turns, options: RunOptions, publish: Any) -> ToolResult:
        """Run turns until the review accepts the report, or its corrections are used up."""
        row = ThreadListing(turns, options.workspace)
        if not (await turns.snapshot()).values:
            task = UserInput(self.task, sources=self.context.taint)
            await row.begin_turn(task, options, state="idle")
        while True:
            values = await self._run_turn(turns, options, publish)
            result, correction = self._reviewed(values)
            if not correction or values.get("turn", 1) > MAX_CORRECTIONS:
                return result
            await row.begin_turn(UserInput(correction, typed=""), options, state="idle")

    async def _run_turn(self, turns: Turns, options: RunOptions, publish: Any) -> Mapping[str, Any]:
        """Run the current turn to its end. Return the final state."""
        values = (await turns.run(None, options, publish)).values
        own = await self.owner.services.store.ledger.thread_total(self.context.root_id, self.id)
        await self.owner.services.store.threads.update(self.id, turns=int(values.get("turn", 0)), cost_usd=own.cost_usd)
        return values

    def _options(self) -> RunOptions:
        given, share = self.context.options, self.share
        model = given.research_model or given.model
        return replace(
            given,
            model=model,
            model_params=given.model_params if model == given.model else {},
            child=True,
            user_text=self.context.user_text,
            headless=True,
            root=self.context.root_id,
            tool_names=share.tools,
            max_iterations=share.max_iterations,
            share_tokens=share.max_tokens,
            share_usd=share.max_usd,
        )

    def _reviewed(self, values: Mapping[str, Any]) -> tuple[ToolResult, str]:
        """Return the report, and the correction that its author should make, or ""."""
        result = _report(values)
        if self.review is None or not result.ok:
            return result, ""
        reviewed = self.review(result.text, readings_of(values), self.task)
        return replace(result, text=f"{reviewed.text}\n\n(thread of the sub-agent: {self.id})"), reviewed.correction


class _Progress:
    """Reports a sub-agent's steps, one line each, as output of the call that started it."""

    def __init__(self, context: ToolContext, share: SubagentQuota) -> None:
        self._context = context
        self._limit = share.max_iterations
        self._replies = 0

    def show(self, event: Mapping[str, Any]) -> None:
        """Write one line per call and per failure, and pass on its spending."""
        data = event["data"]
        match event["type"]:
            case "usage":
                self._context.emit("usage", **data)
            case "assistant_message":
                self._replies += 1
            case "tool_call":
                self.line(f"[{self._replies}/{self._limit}] {data['name']} {_words(data['args'])}")
            case "tool_output" if not data["ok"]:
                self.line(f"{data['name']}: {data['text']}")
            case "error":
                self.line(str(data["message"]))

    def line(self, text: str) -> None:
        """Write one line of output."""
        shown = " ".join(text.split())[:_LINE]
        self._context.emit("tool_log", id=self._context.call_id, name="sub-agent", text=f"{shown}\n")


def _words(args: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in args.items())


def readings_of(values: Mapping[str, Any]) -> Sequence[SourceRead]:
    """Return the successful calls of a sub-agent, and what it opened in messages that compaction removed."""
    messages = values.get("messages", [])
    texts = {m.tool_call_id: m.text for m in messages if m.type == "tool" and m.status == "success"}
    calls = [call for m in messages if m.type == "ai" for call in m.tool_calls if call["id"] in texts]
    readings = [SourceRead(one["name"], json.dumps(one["args"], ensure_ascii=False), texts[one["id"]]) for one in calls]
    opened = "\n".join(f"{one.args}\n{one.text}" for one in readings)
    names = (*(values.get("taint") or ()), *(values.get("file_reads") or ()))
    return [*readings, *(SourceRead("", name, None) for name in names if Path(name).name not in opened)]


def _report(values: Mapping[str, Any]) -> ToolResult:
    outcome = values.get("outcome") or {"status": "failed", "text": "the sub-agent did not finish"}
    taint = tuple(values.get("taint") or ())
    if outcome["status"] == "done":
        return ToolResult(text=outcome["text"], taint=taint)
    last = next((m.text for m in reversed(values.get("messages", [])) if m.type == "ai" and m.text), "")
    text = f"The sub-agent stopped: {outcome['text']}\n{last}".strip()
    return ToolResult(text=text, ok=False, status="failed", taint=taint)
