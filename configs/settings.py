"""The settings model. configs/layers.py merges the files and options that set its values."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

from ml_intern.configs.hosts import check_host_list, check_hosts
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


def _dataset_template(template: str | None) -> str | None:
    owner, slash, name = (template or "a/b").replace("{hf_user}", "a").partition("/")
    if not slash or not owner or not name or set("/{}") & set(owner + name):
        raise ValueError("must be OWNER/NAME; {hf_user} is the only placeholder")
    return template


class Destination(BaseModel):
    """A destination for notifications: a Slack channel, or an apprise URL."""

    model_config = ConfigDict(frozen=True)

    provider: Literal["slack", "apprise"] = "slack"
    token: str | None = None
    """slack: the bot token, xoxb-..."""
    channel: str | None = None
    """slack: the id or name of the channel."""
    url: str | None = None
    """apprise: the URL of the service, with its secrets."""
    allow_agent_tool: bool = False
    """The agent may send messages there with the tool `notify`."""
    allow_auto_events: bool = False
    """Events of auto_event_types are sent there."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = ("token", "channel") if self.provider == "slack" else ("url",)
        if missing := [name for name in needed if not getattr(self, name)]:
            raise ValueError(f"the {self.provider} destination needs {' and '.join(missing)}")
        return self


class Messaging(BaseModel):
    """Notifications: their destinations and events."""

    model_config = ConfigDict(frozen=True)

    enabled: bool = False
    """Whether notifications are sent."""
    auto_event_types: tuple[Literal["approval_required", "error", "turn_complete"], ...] = DEFAULT_AUTO_EVENTS
    """The events that are sent."""
    destinations: dict[str, Destination] = Field(default_factory=dict)


class PermissionLists(BaseModel):
    """Rules about calls, in the format of safety/rule_settings.py: a string such as "bash(git push)", or an object."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allow: tuple[JsonValue, ...] = ()
    """Calls that run without approval."""
    ask: tuple[JsonValue, ...] = ()
    """Calls that need approval."""
    deny: tuple[JsonValue, ...] = ()
    """Calls that are refused, in every mode."""


class SandboxSettings(BaseModel):
    """The OS sandbox around local commands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool | None = None
    """null: if bubblewrap is installed."""
    network: Literal["off", "list", "on"] = "list"
    """list: the package index, the Hub, GitHub, and `hosts`."""
    hosts: Annotated[tuple[str, ...], AfterValidator(check_host_list)] = ()
    """Hosts, .domains or URLs."""


class WebSettings(BaseModel):
    """Limits of web_read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    private_hosts: tuple[str, ...] = ()
    """Hosts (host or host:port) that may be read although their address is private or local."""


class Settings(BaseModel):
    """All settings. The shipped file has the default of each."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model_name: Annotated[str, Field(min_length=1)] = "anthropic/claude-sonnet-4-5-20250929"
    """The model, as provider/model."""
    compact_model: str | None = None
    """The model that summarises when the conversation is compacted; null: the main model."""
    research_model: str | None = None
    """The model of sub-agents; null: the main model."""
    fallback_model: str | None = None
    """The model to use when another one stays unavailable or has no credit left; null: none."""
    model_params: dict[str, JsonValue] = Field(default_factory=dict)
    """Additional request parameters of the main model, such as temperature or max_tokens."""
    reasoning_effort: Effort | None = None
    """Reasoning effort; null: the model's default."""
    max_iterations: Annotated[int, AfterValidator(_positive_or_unlimited)] = MAX_ITERATIONS
    """Model calls per turn; -1: unlimited."""
    yolo_mode: bool = False
    """Run every call without approval; only deny rules apply."""
    permissions: PermissionLists = PermissionLists()
    """Deny takes precedence over ask, ask over allow. The rules of all layers apply."""
    sandbox: SandboxSettings = SandboxSettings()
    hosts: Annotated[dict[str, str], AfterValidator(check_hosts)] = Field(default_factory=dict)
    """Base URLs that replace those of services, see configs/hosts.py."""
    web: WebSettings = WebSettings()
    confirm_cpu_jobs: bool = True
    """Ask before a job on CPU hardware, too."""
    tool_runtime: Literal["local", "sandbox"] = "local"
    """Where bash, read, write and edit run: on this machine, or in a Hugging Face sandbox."""
    mcpServers: Annotated[dict[str, McpServer], AfterValidator(check_names)] = Field(
        default_factory=lambda: {"hf-mcp-server": McpServer(transport="http", url="https://huggingface.co/mcp")}
    )
    """MCP servers, see configs/mcp_servers.py."""
    messaging: Messaging = Messaging()
    save_sessions: bool = True
    """Save threads in the database; false makes every new thread --ephemeral."""
    share_traces: Literal[True, False, "private", "public"] = False
    """Upload threads as traces to a dataset of the user; true: private."""
    personal_trace_repo_template: Annotated[str | None, AfterValidator(_dataset_template)] = (
        "{hf_user}/ml-intern-sessions"
    )
    """The dataset of traces; {hf_user} is replaced by the owner of the token."""


WITHOUT_EFFECT: dict[str, str] = {
    "session_dataset_repo": "threads stay on this machine",
    "auto_save_interval": "every step is saved",
    "heartbeat_interval_s": "every step is saved",
    "auto_file_upload": "nothing is uploaded without being asked for",
}
"""Keys of older files, with the reason why they have no effect. They give a note, not an error."""
