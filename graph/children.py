"""Sub-agents: each runs the same graph in a child thread of its own, and answers to its parent's budget and events."""

import asyncio
import contextvars
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from graph.context import Services
from graph.turns import Turns
from tools.base import ToolContext, ToolResult

if TYPE_CHECKING:
    from graph.turns import AgentApp


@dataclass(frozen=True)
class Children:
    """Runs sub-agents on the compiled graph; bound to Services.spawn."""

    app: "AgentApp"
    services: Services

    async def __call__(
        self, task: str, context: ToolContext, *, tools: tuple[str, ...], max_iterations: int, resume: str = ""
    ) -> ToolResult:
        """Give `task` to a sub-agent with these tools, or go on with the child thread `resume`; its report."""
        child_id = resume or str(uuid4())
        if not resume:
            await context.set_handle(child_id)
        # A run started inside a node would count as its subgraph; an empty context makes it a run of its own.
        # Its events go out from here, though: the parent's stream is found through the parent's context.
        here = contextvars.copy_context()

        def emit(type: str, /, **data: Any) -> None:
            here.run(lambda: context.emit(type, **data))

        run = asyncio.get_running_loop().create_task(
            self._run(child_id, task, replace(context, emit=emit), tools, max_iterations),
            context=contextvars.Context(),
        )
        try:
            return await run
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)

    async def _run(
        self, child_id: str, task: str, context: ToolContext, tools: tuple[str, ...], max_iterations: int
    ) -> ToolResult:
        store = self.services.store
        options = replace(
            context.options,
            model=context.options.research_model or context.options.model,
            child=True,
            user_text=context.user_text,
            headless=True,
            root=context.root_id,
            tool_names=tools,
            max_iterations=max_iterations,
        )
        turns = Turns(self.app, self.services, child_id)
        async with store.hold(child_id):
            if await store.threads.get(child_id) is None:
                await store.threads.create(
                    id=child_id, title=task[:80], folder=options.workspace, parent=context.thread_id
                )
            if not (await turns.snapshot()).values:
                await turns.begin(task, options)
            async for part in self.app.astream(
                None,
                turns.config(),
                context=options,
                stream_mode=["custom"],
                version="v2",
                durability="sync",
            ):
                _pass_on(cast(Mapping[str, Any], part["data"]), context)
            return _report((await turns.snapshot()).values)


def _pass_on(event: Mapping[str, Any], context: ToolContext) -> None:
    """A line for what the sub-agent does, and its spending as it is."""
    data = event["data"]
    match event["type"]:
        case "usage":
            context.emit("usage", **data)
        case "tool_call":
            _line(context, f"{data['name']} {data['args']}"[:200])
        case "error":
            _line(context, str(data["message"]))


def _line(context: ToolContext, text: str) -> None:
    context.emit("tool_log", id=context.call_id, name="sub-agent", text=text)


def _report(values: Mapping[str, Any]) -> ToolResult:
    outcome = values.get("outcome") or {"status": "failed", "text": "the sub-agent did not finish"}
    taint = tuple(values.get("taint") or ())
    if outcome["status"] == "done":
        return ToolResult(text=outcome["text"], taint=taint)
    said = next((m.text for m in reversed(values.get("messages", [])) if m.type == "ai" and m.text), "")
    text = f"The sub-agent stopped: {outcome['text']}\n{said}".strip()
    return ToolResult(text=text, ok=False, status="failed", taint=taint)
