"""The interface to threads for the terminal, headless runs, commands and servers, which use nothing beneath it.

All arguments and results are plain values, so that an implementation can talk over a socket or HTTP.
Operations are in graph/operations.py, events in graph/events.py. `session.opening.session` and `session.threads` open
the implementations of this process.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

    from ml_intern.evidence.statement.check import StatementCheck as StatementCheck
    from ml_intern.execution.tool import ServerState as ServerState
    from ml_intern.graph.context import RunOptions
    from ml_intern.graph.events import Event
    from ml_intern.graph.operations import Operation, Redo, Undo
    from ml_intern.graph.state import PlanStep
    from ml_intern.outbound.conversation import Conversation, Message
    from ml_intern.runs.summary import RunSeries as RunSeries
    from ml_intern.safety.policy import Verdict as Verdict
    from ml_intern.session.mentions import Expanded
    from ml_intern.session.turns.rewind import RewindResult as RewindResult
    from ml_intern.session.turns.rewind import UndoPreview as UndoPreview
    from ml_intern.session.turns.turns import TurnInfo as TurnInfo
    from ml_intern.snapshots.workspace import FileChange as FileChange
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
    """The end of a turn. `status` is done, failed, limit, interrupted, stopped or waiting (for an approval)."""

    status: str
    text: str
    exit_code: int
    iterations: int = 0


@dataclass(frozen=True)
class QueuedMessage:
    """A message of the user that waits for its turn."""

    id: str
    text: str
    """The text that the user typed."""
    steer: bool
    """Whether the running turn takes it before its next model call."""
    created: float
    """The time of its submission in seconds since the epoch."""


@dataclass(frozen=True)
class ModelInfo:
    """Details of a model. None means unknown."""

    id: str
    window: int | None
    """Size of the context window in tokens."""
    images: bool | None
    """True if it accepts images."""
    effort: bool | None
    """True if it accepts a reasoning effort."""


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
    """The result of a tool call."""

    text: str
    ok: bool
    images: tuple[str, ...] = ()
    """Data URLs."""


@dataclass(frozen=True)
class RuleInfo:
    """A permission rule of the settings, described for users."""

    effect: str
    about: str
    why: str = ""


@dataclass(frozen=True)
class PermissionInfo:
    """The rules of the settings, warnings about them, and the saved "always" answers that apply."""

    rules: tuple[RuleInfo, ...]
    warnings: tuple[str, ...]
    answers: "tuple[PermissionRow, ...]" = ()


@dataclass(frozen=True)
class RunReport:
    """The current state of a background run."""

    run: "RunRow"
    status: str
    """State, duration and last metrics, in one line."""
    metric: str = ""
    """The history of its main metric, in one line."""
    log: str = ""
    """The last lines of its log."""
    problem: str = ""
    """The reason why polling failed, or "". If it failed, the other fields show the last known state."""


@dataclass(frozen=True)
class PruneRequest:
    """The limits of a pruning. Ages are in seconds, sizes in bytes."""

    older_than: float | None
    """Delete threads older than this; None deletes none."""
    larger_than: int
    """Thin out threads larger than this."""
    keep: int
    """Number of most recent threads that are never deleted."""
    backup: str | None = None
    """File to which the database is copied first."""


@dataclass(frozen=True)
class PruneStep:
    """The pruning of one thread: delete it, or remove what undo does not need. `bytes` is an estimate."""

    id: str
    title: str
    updated: float
    what: str
    bytes: int


@dataclass(frozen=True)
class Pruning:
    """The result of a pruning, or of its preview."""

    steps: tuple[PruneStep, ...]
    in_use: tuple[str, ...]
    """Ids of threads that were skipped because another process uses them."""
    snapshots: int
    secrets: tuple[str, ...]
    """Files with secrets in the snapshots of older versions, which are removed from them."""
    notes: tuple[str, ...]
    freed: int
    """Bytes freed on disk."""


@dataclass(frozen=True)
class ThreadStatus:
    """A thread with its pending requests, and the last metrics of its open background runs in one line."""

    row: "ThreadRow"
    requests: tuple[Mapping[str, Any], ...] = ()
    metric: str = ""


@dataclass(frozen=True)
class Deleted:
    """The ids of deleted threads, and notes about files that were not deleted."""

    threads: tuple[str, ...]
    notes: tuple[str, ...]


class Thread(Protocol):
    """Read access to one thread. It may be idle, or open in this or another process."""

    @property
    def thread_id(self) -> str:
        """The id of the thread."""
        ...

    async def row(self) -> "ThreadRow | None":
        """Return its row in the list of threads; None before the first turn."""
        ...

    async def history(self) -> "Sequence[Message]":
        """Return its messages, without times."""
        ...

    async def queue(self) -> "Sequence[QueuedMessage]":
        """Return the messages that wait for their turn, in order."""
        ...

    async def plan(self) -> "Sequence[PlanStep]":
        """Return its plan."""
        ...

    async def turns(self) -> "Sequence[TurnInfo]":
        """Return the turns that can be undone, oldest first."""
        ...

    async def totals(self) -> "Totals":
        """Return the usage of the thread and its sub-agents."""
        ...

    async def spending(self) -> "Sequence[Spending]":
        """Return the usage by source and model."""
        ...

    async def usage(self, since: "Sequence[Spending]" = ()) -> Mapping[str, Any]:
        """Return the usage since an earlier `spending`, in the form of the event `result`."""
        ...

    async def pending_approval(self) -> Mapping[str, Any] | None:
        """Return the fields of `approval_required`; None if no approval is pending."""
        ...

    async def preview_undo(self, operation: "Undo") -> "UndoPreview":
        """Return the effect of an undo, file by file. Raises the errors of an undo."""
        ...

    async def conversation(self) -> "Conversation":
        """Return the whole conversation with times and costs, for export."""
        ...

    async def evidence(self) -> Mapping[str, Any]:
        """Return the evidence card: answers with their claims, locks, what ran, and what is incomplete."""
        ...


class IdleThread(Thread, Protocol):
    """A thread without a running turn, locked by this process. It can be changed without a model."""

    async def rename(self, title: str) -> None:
        """Change the title."""
        ...

    async def move(self, operation: "Undo | Redo") -> "RewindResult":
        """Undo or redo."""
        ...


class Threads(Protocol):
    """All threads in a data folder."""

    async def list(
        self, folder: str | None = None, limit: int | None = None, *, children: bool = False, user: str = ""
    ) -> "Sequence[ThreadRow]":
        """Return threads, last used first; `children` adds those of sub-agents, `user` limits them to a user's."""
        ...

    async def statuses(self, limit: int | None = None, user: str = "") -> Sequence[ThreadStatus]:
        """Return the threads of all folders with what they ask and measure, last used first. `user` as for `list`."""
        ...

    async def runs(self, id: str) -> "Sequence[RunSeries]":
        """Return the background runs of a thread with the points of their metrics, oldest first."""
        ...

    async def sizes(self, ids: Sequence[str]) -> Mapping[str, int]:
        """Return the size of each thread's checkpoints in bytes."""
        ...

    async def find(self, text: str) -> "ThreadRow":
        """Return the thread with this id, unique prefix or title. Raises UsageError."""
        ...

    def read(self, text: str) -> AbstractAsyncContextManager[Thread]:
        """Open a thread for reading. Raises UsageError."""
        ...

    def hold(self, text: str) -> AbstractAsyncContextManager[IdleThread]:
        """Lock and open a thread, or attach to the process that has it open. Raises UsageError or ThreadLocked."""
        ...

    async def secrets_in_snapshots(self) -> Sequence[str]:
        """Return the files with secrets that older versions left in snapshots."""
        ...

    async def fork(self, text: str, turn: int | None) -> "ThreadRow":
        """Copy a thread up to the end of a turn. Raises UsageError."""
        ...

    async def delete(self, id: str) -> Deleted:
        """Delete a thread, its sub-agents, artifacts and snapshots. Raises ThreadLocked."""
        ...

    async def import_conversation(self, conversation: "Conversation", folder: str, name: str) -> "ThreadRow":
        """Create a thread from a conversation that was read from the file `name`."""
        ...

    async def upload_trace(self, text: str, folder: str) -> str:
        """Upload a thread to the user's dataset of traces. Return its address. Raises UsageError or TemporaryError."""
        ...

    async def check_evidence(self, file: str, root: str | None = None) -> "StatementCheck":
        """Check a statement that was written beside an artifact. Names are relative to `root`. Raises UsageError."""
        ...

    async def prune(self, request: PruneRequest, *, do_it: bool) -> Pruning:
        """Delete old threads and thin out long ones, or return what would be pruned."""
        ...


class SessionRuns(Protocol):
    """The background runs of the thread that a session is in."""

    async def ids(self, prefix: str = "") -> Sequence[str]:
        """Return the ids that begin with `prefix`."""
        ...

    async def unfinished(self) -> "Sequence[RunRow]":
        """Return the runs that have not ended."""
        ...

    async def check(self, prefix: str = "", *, stop: bool = False, logs: bool = False) -> Sequence[RunReport]:
        """Poll the runs whose ids begin with `prefix`. `stop` stops them, `logs` adds the end of their logs."""
        ...

    async def stop(self) -> "Sequence[RunRow]":
        """Stop all runs. Return those that could not be stopped. It works after the session was closed, too."""
        ...


class Session(Thread, Protocol):
    """An open thread: operations in, events out. /new, /resume and /fork switch to another thread."""

    @property
    def end(self) -> TurnEnd | None:
        """The end of the last turn; None before the first turn and while one starts."""
        ...

    @property
    def options(self) -> "RunOptions":
        """The options of the next turn."""
        ...

    @property
    def runs(self) -> SessionRuns:
        """Return its background runs."""
        ...

    @property
    def attached(self) -> bool:
        """Whether another process runs the thread, and continues when this session is closed."""
        ...

    async def submit(self, operation: "Operation") -> None:
        """Queue an operation. Interrupt, Shutdown, SetMode, Unqueue, EditQueued and Steer act at once, others in order.

        The operations about the tools of clients act at once, too.

        A UserInput is on disk when this returns. It is sent in its turn, also after a crash. An interrupted or failed
        turn pauses the queue until the user submits or steers a message.

        Raises:
            UsageError: the message of an Unqueue, EditQueued or Steer is not queued any more, another client answered
                the approval first, an offered tool is not valid, or the call of a ToolReply does not wait any more.
            DiskFull, TemporaryError: the message could not be saved.
        """
        ...

    def events(self) -> "AsyncIterator[Event]":
        """Yield the events as they happen, up to `shutdown`.

        Raises TemporaryError if another process ran the thread and has ended.
        """
        ...

    async def idle(self) -> None:
        """Wait until every operation has finished and all its events were read."""
        ...

    async def at_rest(self, *, runs_first: bool = False) -> None:
        """Wait until the session is idle and no background run can start another turn."""
        ...

    async def close(self) -> None:
        """Shut down and release the thread, which can be resumed later."""
        ...

    def model(self) -> ModelInfo:
        """Return details of the current model."""
        ...

    def tools(self) -> Sequence[ToolInfo]:
        """Return the tools of the model."""
        ...

    def servers(self) -> "Sequence[ServerState]":
        """Return the state of the MCP servers."""
        ...

    def expand_mentions(self, text: str) -> "Expanded":
        """Add the files that a message names as @path."""
        ...

    def all_threads(self) -> Threads:
        """Return the threads in the same data folder."""
        ...

    async def permissions(self) -> PermissionInfo:
        """Return the permission rules and saved answers that apply here."""
        ...

    async def remove_permission(self, number: int) -> bool:
        """Remove a saved "always" answer. Return False if it does not exist."""
        ...

    async def judge(self, command: str) -> "Verdict":
        """Return the policy's verdict on a shell command, without running it."""
        ...

    async def set_trace_visibility(self, *, public: bool) -> str:
        """Make the user's dataset of traces public or private. Return its id. Raises MLInternError."""
        ...


@dataclass(frozen=True)
class GraphHead:
    """The state of a thread of a served graph."""

    checkpoint_id: str
    waiting: bool
    """Whether it waits for an approval."""
    text: str
    """The latest message of the user."""


class GraphRun(Protocol):
    """A thread that is locked for one run of the served graph."""

    @property
    def options(self) -> "RunOptions":
        """Return the context of the run."""
        ...

    @property
    def recursion_limit(self) -> int:
        """Return LangGraph's limit on the steps of the run."""
        ...

    async def head(self) -> GraphHead:
        """Return the state of the thread."""
        ...

    async def begin(self, text: str, checkpoint_id: str = "") -> None:
        """Write a message as the input of a new turn, after an older checkpoint if one is given."""
        ...

    async def resume(self) -> None:
        """Prepare to continue the turn."""
        ...


class ServedGraph(Protocol):
    """The compiled graph for a server that runs it itself, such as LangGraph's. Its interface is LangGraph's."""

    @property
    def app(self) -> "CompiledStateGraph[Any, Any, Any, Any]":
        """The graph with its services and its checkpointer."""
        ...

    def run(self, thread_id: str, changes: Mapping[str, Any]) -> AbstractAsyncContextManager[GraphRun]:
        """Lock a thread for one run with changed options. Raises ThreadLocked, ModelUnknown, KeyMissing."""
        ...

    def change(self, thread_id: str) -> AbstractAsyncContextManager[None]:
        """Lock an idle thread for a change of its state. Raises ThreadLocked."""
        ...


class ToolCaller(Protocol):
    """Calls tools without a model, for `mcp serve`."""

    def tools(self) -> Sequence[ToolInfo]:
        """Return the tools that can be called."""
        ...

    async def call(self, name: str, arguments: Mapping[str, Any]) -> ToolAnswer:
        """Call a tool under policy and journal. A failed call is returned, not raised."""
        ...
