"""The one interface to threads: what terminal, headless runs, commands and servers use, and nothing beneath it.

Everything that goes in or comes out is a plain value, so that an implementation can talk over a socket or HTTP.
Operations are in graph/operations.py, events in graph/events.py. `session.opening.session` and `session.threads` open
the implementations of this process.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ml_intern.execution.tool import ServerState as ServerState
    from ml_intern.graph.context import RunOptions
    from ml_intern.graph.events import Event
    from ml_intern.graph.operations import Operation, Redo, Scope, Undo
    from ml_intern.graph.state import PlanStep
    from ml_intern.outbound.conversation import Conversation, Message
    from ml_intern.safety.policy import Verdict as Verdict
    from ml_intern.session.mentions import Expanded
    from ml_intern.session.turns.rewind import Moved as Moved
    from ml_intern.session.turns.rewind import UndoPreview as UndoPreview
    from ml_intern.session.turns.turns import TurnInfo as TurnInfo
    from ml_intern.store.ledger import Spending as Spending
    from ml_intern.store.ledger import Totals as Totals
    from ml_intern.store.permissions import PermissionRow as PermissionRow
    from ml_intern.store.runs import RunRow as RunRow
    from ml_intern.store.threads import ThreadRow as ThreadRow


NO_USAGE: Mapping[str, Any] = {
    "requests": 0, "input_tokens": 0, "output_tokens": 0, "cached_tokens": 0, "cache_write_tokens": 0,
    "reasoning_tokens": 0, "unknown_cost_requests": 0, "by_source": [],
}  # fmt: skip
"""The usage of a run that called no model."""


@dataclass(frozen=True)
class TurnEnd:
    """How a turn ended. `status` is done, failed, limit, interrupted, stopped or waiting (for an approval)."""

    status: str
    text: str
    exit_code: int
    iterations: int = 0


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a model; None is unknown."""

    id: str
    window: int | None
    """Tokens of its context."""
    images: bool | None
    effort: bool | None
    """Whether it takes a reasoning effort."""


@dataclass(frozen=True)
class ToolInfo:
    """A tool as a client sees it."""

    name: str
    description: str
    read_only: bool
    parameters: Mapping[str, Any]
    """JSON schema of its arguments."""


@dataclass(frozen=True)
class ToolAnswer:
    """What a call of a tool gave."""

    text: str
    ok: bool
    images: tuple[str, ...] = ()
    """As data URLs."""


@dataclass(frozen=True)
class RuleInfo:
    """A permission rule of the settings, as a user reads it."""

    effect: str
    about: str
    why: str = ""


@dataclass(frozen=True)
class PermissionInfo:
    """The rules of the settings, what is odd about them, and the "always" answers in force."""

    rules: tuple[RuleInfo, ...]
    warnings: tuple[str, ...]
    answers: "tuple[PermissionRow, ...]" = ()


@dataclass(frozen=True)
class RunReport:
    """A background run as it is now."""

    run: "RunRow"
    status: str
    """State, duration and last metrics, in one line."""
    metric: str = ""
    """The course of its main metric, in one line."""
    log: str = ""
    """The last lines of its log."""
    problem: str = ""
    """Why it could not be asked; then the rest is as it was seen last."""


@dataclass(frozen=True)
class PruneRequest:
    """What may be pruned: ages in seconds, sizes in bytes."""

    older_than: float | None
    """None: no thread is deleted for its age."""
    larger_than: int
    keep: int
    """The most recent threads that are never deleted."""
    backup: str | None = None
    """A file to copy the database to first."""


@dataclass(frozen=True)
class PruneStep:
    """What is removed of one thread: all of it, or what its undo does not need. `bytes` is an estimate."""

    id: str
    title: str
    updated: float
    what: str
    bytes: int


@dataclass(frozen=True)
class Pruning:
    """What was pruned, or would be."""

    steps: tuple[PruneStep, ...]
    held: tuple[str, ...]
    """Threads that another process uses; they are left alone."""
    snapshots: int
    notes: tuple[str, ...]
    freed: int
    """Bytes that left the disk."""


@dataclass(frozen=True)
class Deleted:
    """The ids of threads that are gone, and notes about files that were left alone."""

    threads: tuple[str, ...]
    notes: tuple[str, ...]


class Thread(Protocol):
    """One thread, to read: at rest, or open in this or another process."""

    @property
    def thread_id(self) -> str:
        """Its id."""
        ...

    async def row(self) -> "ThreadRow | None":
        """Its row in the list of threads; None before its first turn."""
        ...

    async def history(self) -> "Sequence[Message]":
        """Its messages, without times."""
        ...

    async def plan(self) -> "Sequence[PlanStep]":
        """Its plan."""
        ...

    async def turns(self) -> "Sequence[TurnInfo]":
        """The turns that undo can go back to, oldest first."""
        ...

    async def totals(self) -> "Totals":
        """What the thread and its sub-agents have used."""
        ...

    async def spending(self) -> "Sequence[Spending]":
        """The same for each source and model."""
        ...

    async def usage(self, since: "Sequence[Spending]" = ()) -> Mapping[str, Any]:
        """The usage since an earlier `spending`, as the event `result` has it."""
        ...

    async def unfinished_runs(self) -> "Sequence[RunRow]":
        """Its background runs that have not ended."""
        ...

    async def pending_approval(self) -> Mapping[str, Any] | None:
        """The fields of `approval_required` when it waits for an approval."""
        ...

    async def preview_undo(self, turns: int = 1, files: "Scope" = "both") -> "UndoPreview":
        """What an undo would do, file by file. Raises what an undo raises."""
        ...

    async def conversation(self) -> "Conversation":
        """All of it, with times and costs: what exports are written from."""
        ...


class RestingThread(Thread, Protocol):
    """A thread that no turn runs in and that this process has locked, to change without a model."""

    async def rename(self, title: str) -> None:
        """Give it another title."""
        ...

    async def move(self, operation: "Undo | Redo") -> "Moved":
        """Undo or redo."""
        ...


class Threads(Protocol):
    """All threads of a data home."""

    async def list(
        self, folder: str | None = None, limit: int | None = None, *, children: bool = False
    ) -> "Sequence[ThreadRow]":
        """The threads of a folder or of all, the last used first; `children`: those of sub-agents too."""
        ...

    async def sizes(self, ids: Sequence[str]) -> Mapping[str, int]:
        """The bytes that the checkpoints of threads take."""
        ...

    async def find(self, text: str) -> "ThreadRow":
        """The thread with this id, unique prefix or title. Raises UsageError."""
        ...

    def read(self, text: str) -> AbstractAsyncContextManager[Thread]:
        """Open a thread to read. Raises UsageError."""
        ...

    def hold(self, text: str) -> AbstractAsyncContextManager[RestingThread]:
        """Lock a thread and open it. Raises UsageError, ThreadLocked."""
        ...

    async def fork(self, text: str, turn: int | None) -> "ThreadRow":
        """Copy a thread up to the end of a turn. Raises UsageError."""
        ...

    async def delete(self, id: str) -> Deleted:
        """Delete a thread, its sub-agents, artifacts and snapshots. Raises ThreadLocked."""
        ...

    async def import_conversation(self, conversation: "Conversation", folder: str, name: str) -> "ThreadRow":
        """Make a thread from the conversation that the file `name` holds."""
        ...

    async def upload_trace(self, text: str, folder: str) -> str:
        """Upload a thread to the user's dataset of traces; its address. Raises UsageError, TemporaryError."""
        ...

    async def prune(self, request: PruneRequest, *, do_it: bool) -> Pruning:
        """Delete old threads and thin out long ones, or find out what would go."""
        ...


class Session(Thread, Protocol):
    """An open thread: operations in, events out. /new, /resume and /fork change the thread it is in."""

    @property
    def end(self) -> TurnEnd | None:
        """How the last turn ended; None before one and while one begins."""
        ...

    @property
    def options(self) -> "RunOptions":
        """The options of the next turn."""
        ...

    async def submit(self, operation: "Operation") -> None:
        """Hand in an operation. Interrupt and Shutdown act at once, the others one after the other."""
        ...

    def events(self) -> "AsyncIterator[Event]":
        """Yield the events as they happen, up to `shutdown`."""
        ...

    async def idle(self) -> None:
        """Wait until every operation was carried out and every event of it was read."""
        ...

    async def at_rest(self, *, runs_first: bool = False) -> None:
        """Wait until the session is idle and no run is left to start another turn."""
        ...

    async def close(self) -> None:
        """Shut down and release the thread; it stays resumable."""
        ...

    def model(self) -> ModelInfo:
        """What is known of the model in use."""
        ...

    def tools(self) -> Sequence[ToolInfo]:
        """The tools of the model."""
        ...

    def servers(self) -> "Sequence[ServerState]":
        """The MCP servers."""
        ...

    def expand_mentions(self, text: str) -> "Expanded":
        """Add the files that a message names as @path."""
        ...

    def all_threads(self) -> Threads:
        """The threads of the same data home."""
        ...

    async def run_ids(self, prefix: str = "") -> Sequence[str]:
        """The ids of the thread's runs that begin so."""
        ...

    async def check_runs(self, prefix: str = "", *, stop: bool = False, logs: bool = False) -> Sequence[RunReport]:
        """The state of the thread's runs whose ids begin so. `stop` ends them, `logs` adds the end of their logs."""
        ...

    async def stop_runs(self) -> "Sequence[RunRow]":
        """Stop all runs; those that could not be stopped."""
        ...

    async def permissions(self) -> PermissionInfo:
        """The permission rules and answers in force here."""
        ...

    async def remove_permission(self, number: int) -> bool:
        """Remove an "always" answer; whether there was one."""
        ...

    async def judge(self, command: str) -> "Verdict":
        """What policy says to a shell command. Nothing is run."""
        ...

    async def set_trace_visibility(self, *, public: bool) -> str:
        """Make the user's dataset of traces public or private; its id. Raises MLInternError."""
        ...


class ToolCaller(Protocol):
    """Single calls of tools, without a model: what `mcp serve` offers to other agents."""

    def tools(self) -> Sequence[ToolInfo]:
        """The tools that can be called."""
        ...

    async def call(self, name: str, arguments: Mapping[str, Any]) -> ToolAnswer:
        """Call a tool under policy and journal. A failure is an answer too."""
        ...
