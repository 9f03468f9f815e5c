"""The settings a user can write down, with their known names. Where their values come from is in configs/layers.py."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

from ml_intern.configs.hosts import check_hosts, check_places
from ml_intern.configs.mcp_servers import McpServer, check_names
from ml_intern.graph.limits import MAX_ITERATIONS, Effort

DEFAULT_AUTO_EVENTS: tuple[Literal["approval_required", "error", "turn_complete"], ...] = (
    "approval_required",
    "error",
    "turn_complete",
)


def _positive_or_unlimited(number: int) -> int:
    if number < 1 and number != -1:
        raise ValueError("must be 1 or more, or -1 for unlimited")
    return number


def _makes_a_dataset(template: str | None) -> str | None:
    owner, slash, name = (template or "a/b").replace("{hf_user}", "a").partition("/")
    if not slash or not owner or not name or set("/{}") & set(owner + name):
        raise ValueError("must make OWNER/NAME, with {hf_user} as the only thing to fill in")
    return template


class Destination(BaseModel):
    """One place for notifications: a channel of Slack, or what apprise knows by a URL."""

    model_config = ConfigDict(frozen=True)

    provider: Literal["slack", "apprise"] = "slack"
    token: str | None = None
    """slack: the bot's token, xoxb-..."""
    channel: str | None = None
    """slack: the channel's id, or its name."""
    url: str | None = None
    """apprise: where to, with its own secrets in it."""
    allow_agent_tool: bool = False
    """The agent may write there of its own accord, by the tool `notify`."""
    allow_auto_events: bool = False
    """It is told of auto_event_types."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = ("token", "channel") if self.provider == "slack" else ("url",)
        if missing := [name for name in needed if not getattr(self, name)]:
            raise ValueError(f"a destination of {self.provider} needs {' and '.join(missing)}")
        return self


class Messaging(BaseModel):
    """Where notifications go, and about which events."""

    model_config = ConfigDict(frozen=True)

    enabled: bool = False
    """Whether anything is told at all."""
    auto_event_types: tuple[Literal["approval_required", "error", "turn_complete"], ...] = DEFAULT_AUTO_EVENTS
    """The events that are told."""
    destinations: dict[str, Destination] = Field(default_factory=dict)


class PermissionLists(BaseModel):
    """Rules about calls, as safety/rule_settings.py reads them: a string such as "bash(git push)", or an object."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allow: tuple[JsonValue, ...] = ()
    """Calls that run unasked."""
    ask: tuple[JsonValue, ...] = ()
    """Calls that are asked about."""
    deny: tuple[JsonValue, ...] = ()
    """Calls that are refused, in every mode."""


class SandboxSettings(BaseModel):
    """The OS sandbox around local commands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool | None = None
    """None: where bubblewrap is there."""
    network: Literal["off", "list", "on"] = "list"
    """list: the package index, the Hub, GitHub, and `hosts`."""
    hosts: Annotated[tuple[str, ...], AfterValidator(check_places)] = ()
    """Hosts, .domains or URLs."""


class WebSettings(BaseModel):
    """What web_read may fetch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    private_hosts: tuple[str, ...] = ()
    """Hosts, as host or host:port, that may be read although their address is private or this machine's."""


class Settings(BaseModel):
    """All settings; the shipped file holds the default of each."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model_name: Annotated[str, Field(min_length=1)] = "anthropic/claude-sonnet-4-5-20250929"
    """The model of a run, provider/model."""
    compact_model: str | None = None
    """Summarises when the conversation is compacted; None is the model of the run."""
    research_model: str | None = None
    """Of sub-agents; None is the model of the run."""
    fallback_model: str | None = None
    """Asked when another model stays unavailable or has no credit left; None: nothing is asked in its place."""
    model_params: dict[str, JsonValue] = Field(default_factory=dict)
    """Further fields of the requests to the run's own model: temperature, max_tokens ..."""
    reasoning_effort: Effort | None = None
    """None is the model's own."""
    max_iterations: Annotated[int, AfterValidator(_positive_or_unlimited)] = MAX_ITERATIONS
    """Model calls in a turn; -1 is unlimited."""
    yolo_mode: bool = False
    """Ask about nothing; only deny rules hold."""
    permissions: PermissionLists = PermissionLists()
    """Deny beats ask beats allow; every layer's rules hold."""
    sandbox: SandboxSettings = SandboxSettings()
    hosts: Annotated[dict[str, str], AfterValidator(check_hosts)] = Field(default_factory=dict)
    """Other base URLs of services, see configs/hosts.py."""
    web: WebSettings = WebSettings()
    confirm_cpu_jobs: bool = True
    """Ask before a job on CPU hardware too."""
    tool_runtime: Literal["local", "sandbox"] = "local"
    """Where bash, read, write and edit run: here, or in a Hugging Face sandbox."""
    mcpServers: Annotated[dict[str, McpServer], AfterValidator(check_names)] = Field(
        default_factory=lambda: {"hf-mcp-server": McpServer(transport="http", url="https://huggingface.co/mcp")}
    )
    """Servers of tools, see configs/mcp_servers.py."""
    messaging: Messaging = Messaging()
    save_sessions: bool = True
    """Threads are kept in the database; false is --ephemeral for every new one."""
    share_traces: Literal[True, False, "private", "public"] = False
    """Upload threads as traces to a dataset of the user; true is private."""
    personal_trace_repo_template: Annotated[str | None, AfterValidator(_makes_a_dataset)] = (
        "{hf_user}/ml-intern-sessions"
    )
    """The dataset of traces; {hf_user} is the token's owner."""


WITHOUT_EFFECT: dict[str, str] = {
    "session_dataset_repo": "threads stay on this machine",
    "auto_save_interval": "every step is saved",
    "heartbeat_interval_s": "every step is saved",
    "auto_file_upload": "nothing is uploaded unasked",
}
"""Keys of older files: accepted, and said to do nothing, with the reason."""
