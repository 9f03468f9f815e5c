"""What a tool is: its spec, a call of it, the context it runs in, the result it gives. execution/run.py runs it."""

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_type_hints

from pydantic import BaseModel, ConfigDict

from ml_intern.execution.call import ToolError, ToolResult, call_mark, is_saved_output, real_path
from ml_intern.graph.context import RunOptions
from ml_intern.graph.events import Emit
from ml_intern.graph.limits import TOOL_TIMEOUT_S, UNLIMITED
from ml_intern.store.journal import CallKey

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage

    from ml_intern.graph.events import Event
    from ml_intern.graph.state import PlanStep
    from ml_intern.models.gateway import Models
    from ml_intern.store.store import Store

OnResume = Literal["report", "rerun", "reattach"]
FindOnResume = Callable[[Mapping[str, Any]], OnResume]
"""Choose the resume policy from the call's arguments."""
_FILE_NAME = re.compile(r"[^A-Za-z0-9._-]")


class ToolArgs(BaseModel):
    """The parameters of a tool. Keys nobody declared are refused."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class SubagentQuota:
    """What a sub-agent is given: its tools, and what it may use for itself. -1 is unlimited."""

    tools: tuple[str, ...]
    max_iterations: int
    """Model calls."""
    max_tokens: int = UNLIMITED
    """Input and output of all its model calls together."""
    max_usd: float = UNLIMITED


@dataclass(frozen=True)
class ReviewedReport:
    """A report as it goes to the agent that asked, and what its author should mend first, if anything."""

    text: str
    correction: str = ""


class Review(Protocol):
    """Look at the report of a sub-agent. `seen` holds what it read, called and was told."""

    def __call__(self, report: str, seen: Sequence[str], /) -> ReviewedReport:
        """The report with what is to be known about it."""
        ...


class Spawn(Protocol):
    """Give a task to a sub-agent in a child thread of the calling tool's thread and wait for its report."""

    async def __call__(
        self, task: str, context: "ToolContext", share: SubagentQuota, *, resume: str = "", review: Review | None = None
    ) -> "ToolResult":
        """The report of the sub-agent. `resume` is the child thread to go on with, as the call's handle names it."""
        ...


class TurnFiles(Protocol):
    """Keeps the files of the workspace as they are at the start of a turn."""

    async def settled(self) -> None:
        """Wait until they are kept, before anything may change them."""
        ...


class RunWatch(Protocol):
    """Looks after the runs of the thread that is open."""

    def notice(self) -> None:
        """There is a new run."""
        ...


@dataclass(frozen=True)
class ServerState:
    """How one server stands. `status` is off, starting, ready, failed or ended; `why` says more."""

    name: str
    where: str
    status: str
    why: str
    tools: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    """Tools whose descriptions are other ones than those agreed to."""


class ToolServers(Protocol):
    """Servers of other programs whose tools stand among `Services.tools`."""

    async def settled(self) -> bool:
        """Wait until each is connected or known not to be; whether there is news of them."""
        ...

    def problems(self) -> list[str]:
        """A line for each that is not there."""
        ...

    def states(self) -> "Sequence[ServerState]":
        """How each stands."""
        ...


class Notifier(Protocol):
    """Tells people elsewhere what happens."""

    def take(self, event: "Event") -> None:
        """Tell about an event, if that is wanted. It returns at once."""
        ...

    def places(self) -> "Sequence[str]":
        """The destinations that the agent may write to."""
        ...

    async def send(self, place: str, text: str) -> str:
        """Send the agent's own words there; what went wrong, or ""."""
        ...


@dataclass(frozen=True)
class ThreadScope:
    """What belongs to one open thread. A session or a server opens it and drops it with the thread."""

    file_reads: dict[str, str] = field(default_factory=dict[str, str])
    """Path -> digest of the content last read or written; write and edit check it."""
    spawn: "Spawn | None" = None
    """Runs a sub-agent in a child thread; None in a sub-agent's own thread."""
    files: "TurnFiles | None" = None
    """None where there is nothing to wait for, as on a server, which takes the snapshot before a run."""
    watch: "RunWatch | None" = None
    """None where nobody waits for the end of a run, as on a server."""


class ThreadScopes:
    """The scopes of the threads that are open in this process."""

    def __init__(self) -> None:
        self._open: dict[str, ThreadScope] = {}

    def open(self, thread_id: str, scope: ThreadScope) -> ThreadScope:
        """Register the scope of a thread, replacing an earlier one."""
        self._open[thread_id] = scope
        return scope

    def close(self, thread_id: str) -> None:
        """Drop the scope of a thread, if it has one."""
        self._open.pop(thread_id, None)

    def __contains__(self, thread_id: str) -> bool:
        """Whether the thread is open."""
        return thread_id in self._open

    def __getitem__(self, thread_id: str) -> ThreadScope:
        """Return the scope of an open thread. Raises KeyError for any other thread."""
        return self._open[thread_id]


@dataclass
class HubAccount:
    """The owner of the Hub token, cached after the Hub was asked for it once."""

    name: str = ""


@dataclass(frozen=True)
class Services:
    """What nodes and tools work with. Built once per process, bound to the graph, never checkpointed."""

    models: "Models"
    tools: "Mapping[str, ToolSpec]"
    store: "Store"
    defaults: RunOptions
    """Used when a caller passes no RunOptions, as Studio does."""
    servers: "ToolServers | None" = None
    """MCP servers; None where there are none."""
    notifier: "Notifier | None" = None
    """None where nobody is notified."""
    scopes: ThreadScopes = field(default_factory=ThreadScopes)
    account: HubAccount = field(default_factory=HubAccount)

    def artifacts(self, thread_id: str) -> Path:
        """The folder of a thread's artifact files."""
        return self.store.home / "artifacts" / thread_id

    def offered(self, options: RunOptions) -> "dict[str, ToolSpec]":
        """The tools of a run: all, or the ones its options name."""
        return {name: spec for name, spec in self.tools.items() if not options.tool_names or name in options.tool_names}

    def context_limit(self, options: RunOptions) -> int:
        """Tokens above which to compact: the threshold, at most 90 % of the context window, minus the longest reply."""
        window = self.models.window(self.models.acting(options.model, options.fallback_model))
        if not window:
            return options.compact_threshold
        reply = options.model_params.get("max_tokens")
        return min(options.compact_threshold, window * 9 // 10, window - (reply if isinstance(reply, int) else 0))


@dataclass(frozen=True)
class ToolContext:
    """What a tool may work with: its folder, its thread, the services, and the way to send events."""

    thread_id: str
    root_id: str
    workspace: Path
    options: RunOptions
    services: Services
    emit: Emit
    add_dirs: tuple[Path, ...] = ()
    call_id: str = ""
    approved: bool = False
    """A person said yes to this call, with exactly these arguments."""
    plan: "tuple[PlanStep, ...]" = ()
    messages: "Sequence[AnyMessage]" = ()
    """The conversation when the call began."""
    taint: tuple[str, ...] = ()
    user_text: str = ""
    """What the user typed in this thread, or, for a sub-agent, in the thread at the top."""
    sandbox_profile: str = "none"
    """Name of the wall that local commands run behind; part of a call's digest."""
    key: CallKey | None = None
    """The call's row in the journal while it runs."""

    @property
    def artifact_folder(self) -> Path:
        """The folder of this thread's artifact files; it may not exist yet."""
        return self.services.artifacts(self.thread_id)

    @property
    def scope(self) -> ThreadScope:
        """What belongs to this thread while it is open."""
        return self.services.scopes[self.thread_id]

    @property
    def spawn(self) -> "Spawn | None":
        """Run a sub-agent in a child thread; None where there are none."""
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
        """The folders that tools may touch, resolved."""
        return tuple(folder.resolve() for folder in (self.workspace, *self.add_dirs))

    def resolve(self, path_text: str, *, reading: bool = False) -> Path:
        """The real path `path_text` names, symlinks followed. Reading may also go to the artifacts of threads.

        Raises:
            ToolError: the path is empty, unusable, in the folder ml-intern keeps its own files in, or outside the
                workspace and the added folders.
        """
        path, home = real_path(path_text, self.workspace), self.services.store.home.resolve()
        if reading and is_saved_output(path, home):
            return path
        within = [root for root in self.roots() if path.is_relative_to(root)]
        if not within:
            raise ToolError(
                f"path outside the workspace: {path} is not in {self.workspace}; "
                "work inside it, or ask the user to start with --add-dir FOLDER"
            )
        if path.is_relative_to(home) and not any(root.is_relative_to(home) for root in within):
            raise ToolError(f"{path} belongs to ml-intern itself (its threads and settings); leave it alone")
        return path

    def artifact_path(self, suffix: str = ".txt") -> Path:
        """Where the whole of this call's result goes when it is too long for the conversation."""
        return self.artifact_folder / f"{_FILE_NAME.sub('_', self.mark.partition('/')[2])[-100:]}{suffix}"

    @property
    def mark(self) -> str:
        """What names this call in the environment of its processes; the same after a restart."""
        return call_mark(self.key) if self.key else f"{self.thread_id}/{self.call_id}".replace(":", "_")

    def name_of(self, path: Path) -> str:
        """`path` as the model should see it: relative to the workspace when it is inside."""
        root = self.workspace.resolve()
        return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)

    async def set_handle(self, handle: str) -> None:
        """Write the handle of what is about to start into the journal, so that a resume can reattach to it."""
        if self.key is not None:
            await self.services.store.journal.set_handle(self.key, handle)


class Handler(Protocol):
    """The function of a tool. Text alone stands for a result that went well."""

    def __call__(self, args: Any, context: ToolContext, /) -> Awaitable[ToolResult | str]:
        """Do what the tool is for. A ToolError becomes a failed result."""
        ...


class Reattach(Protocol):
    """Find again, by its handle, what a call had started when the process died, and give its result."""

    def __call__(self, handle: str, args: Any, context: ToolContext, /) -> Awaitable[ToolResult | str]:
        """Give the result of what the handle names, waiting for it if need be."""
        ...


@dataclass(frozen=True)
class ExternalEffects:
    """What a call reaches outside this machine."""

    destinations: tuple[str, ...] = ()
    """Repository ids or hosts it sends something to."""
    public: bool = False
    """Anybody can see what it sends there."""
    irreversible: bool = False
    """What it does there cannot be taken back, as the deletion of a repository."""
    cost_usd: float | None = 0.0
    """Worst-case price; None when it is not known."""
    secrets: tuple[str, ...] = ()
    """Names of the user's secrets that it is given."""
    unknown: str = ""
    """Why the rest could not be found out."""
    refused: str = ""
    """Why it is not done, whoever allows it."""


NO_EFFECTS = ExternalEffects()


def unknown_effects(why: str) -> ExternalEffects:
    """The reach of a call of which nothing is known."""
    return ExternalEffects(("unknown",), public=True, cost_usd=None, unknown=why)


class FindEffects(Protocol):
    """Tell what a call would reach. It may ask the network for a price; it changes nothing."""

    def __call__(self, args: Mapping[str, Any], context: ToolContext, /) -> Awaitable[ExternalEffects]:
        """The reach of a call with these arguments, which fit the tool's parameters."""
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
    """What to do with a call that a crash interrupted."""
    timeout: float | None = TOOL_TIMEOUT_S
    """Seconds after which a call is stopped; None when the tool limits itself."""
    asks: bool = True
    """Whether policy may ask the user to approve a call."""
    path_args: tuple[str, ...] = ("path",)
    """The arguments that name files. Policy checks where they lead."""
    reattach: Reattach | None = None
    """Required where on_resume is "reattach"."""
    effects: FindEffects | None = None
    """For tools that send data out or spend money."""
    warning: Callable[[], str] | None = None
    """For tools of MCP servers: why an earlier approval does not hold now, or ""."""

    def only_reads(self, args: Mapping[str, Any]) -> bool:
        """Tell whether a call with these arguments changes nothing."""
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
