"""What a run is given: RunOptions (plain and JSON-able) and Services (clients and callbacks, never saved)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from ml_intern.execution.tool import ToolContext, ToolResult, ToolSpec
    from ml_intern.graph.events import Event
    from ml_intern.models.gateway import Models
    from ml_intern.store.store import Store
    from ml_intern.tools.mcp.servers import ServerState

ApprovalMode = Literal["ask", "auto", "yolo", "plan"]
Sandbox = Literal["none", "off", "list", "on"]
"""The wall around local commands: none, or bubblewrap with this network."""
UNLIMITED = -1


@dataclass(frozen=True)
class RunOptions:
    """The choices a run is made with. Plain values only: they may travel as JSON."""

    model: str
    workspace: str
    """Absolute path of the working folder."""
    add_dirs: tuple[str, ...] = ()
    approval_mode: ApprovalMode = "ask"
    headless: bool = False
    """Nobody can be asked: a pending approval ends the run with exit code 3."""
    stream: bool = True
    max_iterations: int = 300
    """Model calls in a turn; -1 is unlimited."""
    max_budget_usd: float = UNLIMITED
    """Cap over the whole tree of agents in US dollars; -1 is unlimited."""
    effort: str | None = None
    compact_model: str | None = None
    research_model: str | None = None
    """The model of sub-agents; None is the main one."""
    fallback_model: str | None = None
    """The model asked when another stays unavailable; None: none."""
    compact_threshold: int = 170_000
    """Tokens above which the conversation is compacted, at most 90 % of the model's window."""
    root: str = ""
    """The thread whose budget and events this run belongs to; empty means its own."""
    child: bool = False
    """A sub-agent: it has nobody to ask, a verdict "ask" is a refusal."""
    share_tokens: int = UNLIMITED
    """Tokens that a sub-agent may use for itself; -1 is unlimited."""
    share_usd: float = UNLIMITED
    """US dollars that a sub-agent may use for itself, within the budget of its tree; -1 is unlimited."""
    tool_names: tuple[str, ...] = ()
    """The tools on offer; empty means all."""
    notes: tuple[str, ...] = ()
    """What the user should know about this run; said in `ready`."""
    model_params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    permissions: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Rules from the settings: {"allow": [...], "ask": [...], "deny": [...]}, see safety/rule_settings.py."""
    sandbox: Sandbox = "none"
    sandbox_hosts: tuple[str, ...] = ()
    """Hosts that the user allows besides, where the sandbox's network is "list"."""
    tool_runtime: Literal["local", "sandbox"] = "local"
    """Where bash, read, write and edit work: here, or in a Hugging Face sandbox."""
    hosts: Mapping[str, str] = field(default_factory=dict[str, str])
    """Other base URLs of the services that tools speak to, see configs/hosts.py."""
    private_hosts: tuple[str, ...] = ()
    """Hosts (host or host:port) that web_read may fetch although they are private."""
    advice: str = ""
    """What the trusted folder tells the model, see configs/advice.py."""
    user_text: str = ""
    """For a sub-agent: what the user wrote in the thread at the top. In its own thread the model speaks."""


def sandbox_name(options: RunOptions) -> str:
    """The wall around commands in words: part of what an approval is bound to."""
    if options.tool_runtime == "sandbox":
        return "a Hugging Face sandbox"
    return "none" if options.sandbox == "none" else " ".join(["bwrap network", options.sandbox, *options.sandbox_hosts])


@dataclass(frozen=True)
class Share:
    """What a sub-agent is given: its tools, and what it may use for itself. -1 is unlimited."""

    tools: tuple[str, ...]
    max_iterations: int
    """Model calls."""
    max_tokens: int = UNLIMITED
    """Input and output of all its model calls together."""
    max_usd: float = UNLIMITED


@dataclass(frozen=True)
class Reviewed:
    """A report as it goes to the agent that asked, and what its author should mend first, if anything."""

    text: str
    correction: str = ""


class Review(Protocol):
    """Look at the report of a sub-agent. `seen` holds what it read, called and was told."""

    def __call__(self, report: str, seen: Sequence[str], /) -> Reviewed:
        """The report with what is to be known about it."""
        ...


class Spawn(Protocol):
    """Give a task to a sub-agent in a child thread of the calling tool's thread and wait for its report."""

    async def __call__(
        self, task: str, context: "ToolContext", share: Share, *, resume: str = "", review: Review | None = None
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


@dataclass
class Services:
    """What nodes and tools work with; bound when the graph is built, never checkpointed."""

    models: "Models"
    tools: "Mapping[str, ToolSpec]"
    store: "Store"
    defaults: RunOptions
    """Used when a caller passes no RunOptions, as Studio does."""
    file_reads: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    """Per thread: path -> digest of the content last read or written; write and edit check it."""
    spawn: "Spawn | None" = None
    """Runs a sub-agent in a child thread; set by session.subagents."""
    owner: str = ""
    """Namespace of the Hub token's owner, where it is known without asking the Hub."""
    files: "TurnFiles | None" = None
    """Set by the session; None where there is nothing to wait for, as in Studio, which takes them before a run."""

    watch: "RunWatch | None" = None
    """Set by the session; None where nobody waits for the end of a run, as in Studio."""

    servers: "ToolServers | None" = None
    """MCP servers; None where there are none."""

    notifier: "Notifier | None" = None
    """None where nobody is to be told."""

    def artifacts(self, thread_id: str) -> Path:
        """The folder of a thread's artifact files."""
        return self.store.home / "artifacts" / thread_id


def context_limit(options: RunOptions, services: Services) -> int:
    """Tokens above which to compact: the threshold, at most 90 % of the model's window, less what a reply may take."""
    window = services.models.window(services.models.acting(options.model, options.fallback_model))
    if not window:
        return options.compact_threshold
    reply = options.model_params.get("max_tokens")
    return min(options.compact_threshold, window * 9 // 10, window - (reply if isinstance(reply, int) else 0))
