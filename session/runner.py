"""The compiled graph with its services: threads opened on it, commands of the user, and how a turn ended."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from ml_intern.configs.errors import ApprovalNeeded
from ml_intern.execution.call import ToolCall, ToolResult
from ml_intern.execution.calls import tool_context
from ml_intern.execution.run import run_call
from ml_intern.execution.tool import RunWatch, Services, ThreadScope, TurnFiles
from ml_intern.graph.build import build_graph
from ml_intern.graph.context import RunOptions
from ml_intern.graph.events import emitter
from ml_intern.session.approvals import pending_batch
from ml_intern.session.protocol import TurnEnd
from ml_intern.session.subagents import Children
from ml_intern.session.turns.turns import Turns

if TYPE_CHECKING:
    from langgraph.types import StateSnapshot

    from ml_intern.execution.inbox import Inbox
    from ml_intern.graph.limits import ApprovalMode
    from ml_intern.session.turns.turns import AgentApp


@dataclass(frozen=True)
class Runner:
    """The compiled graph and its services."""

    app: "AgentApp"
    services: Services

    @classmethod
    async def create(cls, services: Services) -> Self:
        """Compile the graph on the store's saver."""
        return cls(build_graph(services).compile(checkpointer=await services.store.saver()), services)

    def turns(self, thread_id: str) -> Turns:
        """Return the operations on the turns of one thread."""
        return Turns(self.app, self.services, thread_id)

    def open_scope(
        self,
        thread_id: str,
        files: TurnFiles | None = None,
        watch: RunWatch | None = None,
        inbox: "Inbox | None" = None,
        mode: "Callable[[], ApprovalMode] | None" = None,
    ) -> None:
        """Open the scope of a thread: sub-agents, the snapshot of its turn, the watch on its runs, messages, mode."""
        scope = ThreadScope(Children(self.app, self.services), files, watch, inbox, mode)
        self.services.scopes.open(thread_id, scope)

    async def run_command(
        self, turns: Turns, command: str, options: RunOptions, publish: Callable[[Mapping[str, Any]], None], id: str
    ) -> ToolResult:
        """Run a command that the user typed, as a call of bash with the journal id `id`. Return its result.

        Only rules that apply in every approval mode can refuse it.
        """
        call = ToolCall(name="bash", args={"command": command}, id=id, message_id=id, index=0)
        own = replace(options, approval_mode="yolo")
        context = tool_context({}, turns.thread_id, own, self.services, emitter(publish))
        return await run_call(call, replace(context, approved=True, call_id=id))


def is_pending(snapshot: "StateSnapshot") -> bool:
    """Return whether there is work that needs no approval. `next` can be empty while tasks are not."""
    return not snapshot.interrupts and bool(snapshot.next or snapshot.tasks)


def pending_kind(snapshot: "StateSnapshot") -> str:
    """Return what is pending: "approval", "work" that continues without one, or "" for nothing."""
    return "approval" if snapshot.interrupts else "work" if is_pending(snapshot) else ""


def ended_early(snapshot: "StateSnapshot") -> str:
    """Return the status of the last turn if it was interrupted, failed or reached a limit, else ""."""
    status = str((snapshot.values.get("outcome") or {"status": "done"})["status"])
    return status if status not in ("done", "contradicted") and not pending_kind(snapshot) else ""


def turn_end(snapshot: "StateSnapshot") -> TurnEnd:
    """Return the end of the turn at this state."""
    iterations = int(snapshot.values.get("iteration", 0))
    if batch := pending_batch(snapshot):
        names = ", ".join(request["name"] for request in batch["action_requests"])
        return TurnEnd("waiting", f"approval pending: {names}", ApprovalNeeded.exit_code, iterations)
    outcome = snapshot.values.get("outcome") or {"status": "failed", "text": "the turn did not end", "exit_code": 1}
    return TurnEnd(outcome["status"], outcome["text"], outcome["exit_code"], iterations)
