"""The types of a tool: its spec, the services and context of its calls. execution/run.py runs the calls."""

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_type_hints

from pydantic import BaseModel, ConfigDict

from ml_intern.execution.call import ToolError, ToolResult, call_mark, is_saved_output, real_path
from ml_intern.execution.recording.programs_used import ProgramsUsed
from ml_intern.graph.context import RunOptions
from ml_intern.graph.events import Emit, Listeners
from ml_intern.graph.limits import TOOL_TIMEOUT_S, UNLIMITED, ApprovalMode
from ml_intern.store.journal import CallKey

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage

    from ml_intern.execution.inbox import Inbox
    from ml_intern.graph.events import Event
    from ml_intern.models.gateway import Models
    from ml_intern.store.store import Store

OnResume = Literal["report", "rerun", "reattach"]
FindOnResume = Callable[[Mapping[str, Any]], OnResume]
"""Choose the resume policy from the call's arguments."""
_FILE_NAME = re.compile(r"[^A-Za-z0-9._-]")


class ToolArgs(BaseModel):
    """The parameters of a tool. Undeclared keys are refused."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class SubagentQuota:
    """The tools and limits of a sub-agent. -1 means unlimited."""

    tools: tuple[str, ...]
    max_iterations: int
    """Maximum number of model calls."""
    max_tokens: int = UNLIMITED
    """Maximum input and output tokens of all its model calls together."""
    max_usd: float = UNLIMITED


@dataclass(frozen=True)
class ReviewedReport:
    """A sub-agent's report for the calling agent, and the correction its author should make first, or ""."""

    text: str
    correction: str = ""


@dataclass(frozen=True)
class SourceRead:
    """A successful call of a sub-agent: its tool, its arguments as JSON, and its result, or None if that is gone."""

    tool: str
    args: str
    text: str | None


class Review(Protocol):
    """Review the report of a sub-agent on `task`. `readings` are its successful calls."""

    def __call__(self, report: str, readings: Sequence[SourceRead], task: str, /) -> ReviewedReport:
        """Return the reviewed report."""
        ...


class Spawn(Protocol):
    """Give a task to a sub-agent in a child thread of the calling tool's thread and wait for its report."""

    async def __call__(
        self, task: str, context: "ToolContext", share: SubagentQuota, *, resume: str = "", review: Review | None = None
    ) -> "ToolResult":
        """Run the sub-agent and return its report. `resume` is the child thread to continue, from the call's handle."""
        ...


class TurnFiles(Protocol):
    """Takes a snapshot of the workspace's files at the start of a turn."""

    async def settled(self) -> None:
        """Wait until the snapshot is complete, before anything may change the files."""
        ...


class RunWatch(Protocol):
    """Watches the runs of an open thread."""

    def notice(self) -> None:
        """Start watching a new run."""
        ...


@dataclass(frozen=True)
class ServerState:
    """The state of one MCP server. `status` is off, starting, ready, failed or ended; `why` explains it."""

    name: str
    where: str
    status: str
    why: str
    tools: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    """Tools whose descriptions differ from the accepted ones."""


class ToolServers(Protocol):
    """The MCP servers whose tools are part of `Services.tools`."""

    async def settled(self) -> bool:
        """Wait until each server is connected or has failed; return whether tools or problems have changed."""
        ...

    def problems(self) -> list[str]:
        """Return a line for each server that is not available."""
        ...

    def states(self) -> "Sequence[ServerState]":
        """Return the state of each server."""
        ...


class Notifier(Protocol):
    """Sends notifications about events to external destinations."""

    def take(self, event: "Event") -> None:
        """Queue a notification about an event, if one is configured. It returns at once."""
        ...

    def places(self) -> "Sequence[str]":
        """Return the destinations that the agent may write to."""
        ...

    async def send(self, place: str, text: str) -> str:
        """Send a message from the agent; return the error, or ""."""
        ...


@dataclass(frozen=True)
class ThreadScope:
    """The state of one open thread. A session or a server opens it and drops it with the thread."""

    spawn: "Spawn | None" = None
    """Runs a sub-agent in a child thread; None in a sub-agent's own thread."""
    files: "TurnFiles | None" = None
    """None where there is no snapshot to wait for, as on a server, which takes it before a run."""
    watch: "RunWatch | None" = None
    """None where the end of a run resumes no thread, as on a server."""
    inbox: "Inbox | None" = None
    """None in a sub-agent's own thread and on a server, where the running turn takes no messages."""
    mode: Callable[[], ApprovalMode] | None = None
    """Returns the approval mode, which the user can change during a turn; None where it is fixed for the run."""


class ThreadScopes:
    """The scopes of the threads that are open in this process."""

    def __init__(self) -> None:
        self._open: dict[str, ThreadScope] = {}
        self.readable: set[str] | None = None
        """The threads whose artifacts can be read; None: all, because they are of one user."""

    def open(self, thread_id: str, scope: ThreadScope) -> ThreadScope:
        """Register the scope of a thread, replacing an earlier one."""
        self._open[thread_id] = scope
        if self.readable is not None:
            self.readable.add(thread_id)
        return scope

    def close(self, thread_id: str) -> None:
        """Drop the scope of a thread, if it has one."""
        self._open.pop(thread_id, None)

    def __contains__(self, thread_id: str) -> bool:
        """Return whether the thread is open."""
        return thread_id in self._open

    def __getitem__(self, thread_id: str) -> ThreadScope:
        """Return the scope of an open thread. Raises KeyError for any other thread."""
        return self._open[thread_id]


@dataclass
class HubAccount:
    """The owner of the Hub token, cached after the first request to the Hub."""

    name: str = ""


@dataclass(frozen=True)
class Services:
    """The services that nodes and tools use. Built once per process, bound to the graph, never checkpointed."""

    models: "Models"
    tools: "Mapping[str, ToolSpec]"
    store: "Store"
    defaults: RunOptions
    """Used when a caller passes no RunOptions, as Studio does."""
    servers: "ToolServers | None" = None
    """MCP servers; None where there are none."""
    notifier: "Notifier | None" = None
    """None where no notifications are configured."""
    scopes: ThreadScopes = field(default_factory=ThreadScopes)
    account: HubAccount = field(default_factory=HubAccount)
    listeners: Listeners = field(default_factory=Listeners)

    def artifacts(self, thread_id: str) -> Path:
        """Return the folder of a thread's artifact files."""
        return self.store.home / "artifacts" / thread_id

    def offered(self, options: RunOptions) -> "dict[str, ToolSpec]":
        """Return the tools of a run: all, or the ones in its options."""
        return {name: spec for name, spec in self.tools.items() if not options.tool_names or name in options.tool_names}

    def in_current_mode(self, options: RunOptions, thread_id: str) -> RunOptions:
        """Return the options with the approval mode that the thread has now, which the user can change in a turn."""
        mode = self.scopes[thread_id].mode if thread_id in self.scopes else None
        return options if mode is None or mode() == options.approval_mode else replace(options, approval_mode=mode())

    def context_limit(self, options: RunOptions) -> int:
        """Return the number of tokens above which to compact.

        It is the threshold, limited by 90 % of the context window and by the window minus the longest reply.
        """
        window = self.models.window(self.models.acting(options.model, options.fallback_model))
        if not window:
            return options.compact_threshold
        reply = options.model_params.get("max_tokens")
        return min(options.compact_threshold, window * 9 // 10, window - (reply if isinstance(reply, int) else 0))


@dataclass(frozen=True)
class ToolContext:
    """The context of a tool call: its thread, folders, options, services and event emitter."""

    thread_id: str
    root_id: str
    workspace: Path
    options: RunOptions
    services: Services
    emit: Emit
    add_dirs: tuple[Path, ...] = ()
    call_id: str = ""
    approved: bool = False
    """The user approved this call with exactly these arguments."""
    messages: "Sequence[AnyMessage]" = ()
    """The conversation when the call began."""
    file_reads: Mapping[str, str] = field(default_factory=dict[str, str])
    """Path -> digest of the content that the model last read or wrote in this thread."""
    taint: tuple[str, ...] = ()
    user_text: str = ""
    """The user's messages in this thread, or, for a sub-agent, in the root thread."""
    collection: str = ""
    """The answer about the thread's collection on the Hub, see AgentState."""
    sandbox_profile: str = "none"
    """Name of the sandbox profile of local commands; part of a call's digest."""
    key: CallKey | None = None
    """The call's row in the journal while it runs."""
    programs: ProgramsUsed | None = None
    """Receives the programs that the call's command starts; None if they are not recorded."""

    @property
    def artifact_folder(self) -> Path:
        """The folder of this thread's artifact files; it may not exist yet."""
        return self.services.artifacts(self.thread_id)

    @property
    def scope(self) -> ThreadScope:
        """The state of this thread while it is open."""
        return self.services.scopes[self.thread_id]

    @property
    def spawn(self) -> "Spawn | None":
        """Runs a sub-agent in a child thread; None where sub-agents are not available."""
        return self.scope.spawn

    @property
    def models(self) -> "Models":
        """The models that can be called."""
        return self.services.models

    @property
    def store(self) -> "Store":
        """The thread database."""
        return self.services.store

    def roots(self) -> tuple[Path, ...]:
        """Return the folders that tools may access, resolved."""
        return tuple(folder.resolve() for folder in (self.workspace, *self.add_dirs))

    def resolve(self, path_text: str, *, reading: bool = False) -> Path:
        """Resolve `path_text`, following symlinks. With `reading`, artifacts of threads and logs of runs are allowed.

        Raises:
            ToolError: the path is empty, invalid, in ml-intern's own folder, or outside the workspace and the added
                folders.
        """
        path, home = real_path(path_text, self.workspace), self.services.store.home.resolve()
        if reading and is_saved_output(path, home, self.services.scopes.readable):
            return path
        within = [root for root in self.roots() if path.is_relative_to(root)]
        if not within:
            raise ToolError(
                f"path outside the workspace: {path} is not in {self.workspace}; "
                "work inside it, or ask the user to start with --add-dir FOLDER"
            )
        if path.is_relative_to(home) and not any(root.is_relative_to(home) for root in within):
            raise ToolError(f"{path} belongs to ml-intern itself (its threads and settings); do not access it")
        return path

    def artifact_path(self, suffix: str = ".txt") -> Path:
        """Return the path for the full text of this call's result when it is too long for the conversation."""
        return self.artifact_folder / f"{_FILE_NAME.sub('_', self.mark.partition('/')[2])[-100:]}{suffix}"

    @property
    def mark(self) -> str:
        """The mark of this call in the environment of its processes. It stays the same after a restart."""
        return call_mark(self.key) if self.key else f"{self.thread_id}/{self.call_id}".replace(":", "_")

    def name_of(self, path: Path) -> str:
        """Return `path` for the model: relative to the workspace when it is inside."""
        root = self.workspace.resolve()
        return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)

    async def set_handle(self, handle: str) -> None:
        """Record the handle of what is about to start in the journal, so that a resume can reattach to it."""
        if self.key is not None:
            await self.services.store.journal.set_handle(self.key, handle)


class Handler(Protocol):
    """The function of a tool. Returning text means a successful result."""

    def __call__(self, args: Any, context: ToolContext, /) -> Awaitable[ToolResult | str]:
        """Run the tool. A ToolError becomes a failed result."""
        ...


class Reattach(Protocol):
    """Find what an interrupted call had started by its handle, and return its result."""

    def __call__(self, handle: str, args: Any, context: ToolContext, /) -> Awaitable[ToolResult | str]:
        """Return the result of the handle's target, waiting for it if necessary."""
        ...


@dataclass(frozen=True)
class ExternalEffects:
    """The effects of a call outside this machine."""

    destinations: tuple[str, ...] = ()
    """Repository ids or hosts it sends data to."""
    public: bool = False
    """Whether the data it sends is publicly visible."""
    irreversible: bool = False
    """Whether its effect cannot be undone, such as the deletion of a repository."""
    cost_usd: float | None = 0.0
    """Worst-case price; None when unknown."""
    secrets: tuple[str, ...] = ()
    """Names of the user's secrets that it gets."""
    unknown: str = ""
    """Why the effects could not be determined."""
    refused: str = ""
    """Why it is refused even if approved."""


NO_EFFECTS = ExternalEffects()


def unknown_effects(why: str) -> ExternalEffects:
    """Return the effects to assume for a call whose effects are unknown."""
    return ExternalEffects(("unknown",), public=True, cost_usd=None, unknown=why)


class FindEffects(Protocol):
    """Determine a call's external effects. It may look up a price on the network; it changes nothing."""

    def __call__(self, args: Mapping[str, Any], context: ToolContext, /) -> Awaitable[ExternalEffects]:
        """Return the effects of a call with these valid arguments."""
        ...


@dataclass(frozen=True)
class ToolSpec:
    """The definition of a tool: its name, description and parameters for the model, and how its calls are run."""

    name: str
    description: str
    parameters: type[BaseModel]
    handler: Handler
    read_only: bool = False
    """It changes nothing. Its calls need no approval, run concurrently, and run again after a crash."""
    reads: Callable[[Mapping[str, Any]], bool] | None = None
    """For a tool that reads and writes: tell from the arguments whether a call only reads."""
    on_resume: OnResume | FindOnResume = "report"
    """The resume policy of calls that a crash interrupted."""
    timeout: float | None = TOOL_TIMEOUT_S
    """Seconds after which a call is stopped; None when the tool limits itself."""
    asks: bool = True
    """Whether policy may ask the user to approve a call."""
    path_args: tuple[str, ...] = ("path",)
    """The arguments that name files. Policy checks where they lead."""
    publishes: Callable[[Mapping[str, Any]], bool] | None = None
    """Tell from the arguments whether a call creates a repository on the Hub or commits to one."""
    reattach: Reattach | None = None
    """Required where on_resume is "reattach"."""
    effects: FindEffects | None = None
    """For tools that send data out or spend money."""
    runs_shell: Callable[[Mapping[str, Any]], bool] | None = None
    """Tell from the arguments whether a call runs its argument `command` on this machine. Policy judges the command."""
    result_text: Callable[[Mapping[str, Any], str], str] | None = None
    """For tools that write a text file: the text it would have, from the arguments and the text before."""
    check: Callable[[Any, ToolContext], object] | None = None
    """Raises ToolError for a call that cannot succeed as things are, which is not asked about. It changes nothing."""
    warning: Callable[[], str] | None = None
    """For tools of MCP servers: why an earlier approval does not hold now, or ""."""
    essential: bool = False
    """It is offered to models with a small context window, too."""

    def only_reads(self, args: Mapping[str, Any]) -> bool:
        """Return whether a call with these arguments changes nothing."""
        return self.read_only or (self.reads is not None and self.reads(args))

    def after_crash(self, args: Mapping[str, Any]) -> OnResume:
        """Choose the resume policy from the call's arguments."""
        policy = self.on_resume if isinstance(self.on_resume, str) else self.on_resume(args)
        return "rerun" if policy == "report" and self.only_reads(args) else policy


def tool(  # noqa: PLR0913  one keyword for each field of ToolSpec
    *,
    name: str = "",
    read_only: bool = False,
    reads: Callable[[Mapping[str, Any]], bool] | None = None,
    on_resume: OnResume | FindOnResume | None = None,
    timeout: float | None = TOOL_TIMEOUT_S,
    asks: bool | None = None,
    path_args: tuple[str, ...] = ("path",),
    reattach: Reattach | None = None,
    effects: FindEffects | None = None,
    runs_shell: Callable[[Mapping[str, Any]], bool] | None = None,
    result_text: Callable[[Mapping[str, Any], str], str] | None = None,
    publishes: Callable[[Mapping[str, Any]], bool] | None = None,
    check: Callable[[Any, ToolContext], object] | None = None,
) -> Callable[[Handler], ToolSpec]:
    """Make a ToolSpec of an async function `f(args: SomeModel, context: ToolContext)`.

    The name defaults to the function's. The description is its docstring, the parameters are the type of its first
    argument. ToolSpec describes the keywords; a read-only tool is run again after a crash and needs no approval unless
    `on_resume` and `asks` say otherwise.

    Raises:
        TypeError: the function has no docstring, or its first argument is not annotated with a pydantic model.
    """

    def specify(handler: Handler) -> ToolSpec:
        tool_name = name or str(getattr(handler, "__name__", ""))
        return ToolSpec(
            name=tool_name,
            description=_description_of(handler, tool_name),
            parameters=_parameters_of(handler, tool_name),
            handler=handler,
            read_only=read_only,
            reads=reads,
            on_resume=on_resume or ("rerun" if read_only else "report"),
            timeout=timeout,
            asks=not read_only if asks is None else asks,
            path_args=path_args,
            reattach=reattach,
            effects=effects,
            runs_shell=runs_shell,
            result_text=result_text,
            publishes=publishes,
            check=check,
        )

    return specify


def _description_of(handler: Handler, name: str) -> str:
    description = inspect.getdoc(handler)
    if not description:
        raise TypeError(f"the tool {name} has no docstring; the model gets it as the description")
    return description


def _parameters_of(handler: Handler, name: str) -> type[BaseModel]:
    first = next(iter(inspect.signature(handler).parameters), "")
    model = get_type_hints(handler).get(first)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise TypeError(f"the first argument of the tool {name} must be annotated with a pydantic model")
    return model
