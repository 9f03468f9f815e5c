"""The settings model. configs/layers.py merges the files and options that set its values."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, NonNegativeFloat, model_validator

from ml_intern.configs.hosts import check_host_list, check_hosts
from ml_intern.configs.mcp_servers import McpServer, check_names
from ml_intern.graph.limits import COMPACT_THRESHOLD, MAX_ITERATIONS, Effort

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
    username: str | None = None
    """slack: the name of the sender, which needs the scope chat:write.customize; null: the app's."""
    icon_emoji: str | None = None
    """slack: the sender's icon, such as :robot_face:, with the same scope; null: the app's."""
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
    """Destinations by name."""


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
    """null: if this machine has one."""
    kind: Literal["auto", "bubblewrap", "basic"] = "auto"
    """auto: bubblewrap, else the basic sandbox, which is weaker."""
    network: Literal["off", "list", "on"] = "list"
    """list: the package index, the Hub, GitHub, and `hosts`."""
    hosts: Annotated[tuple[str, ...], AfterValidator(check_host_list)] = ()
    """Hosts, .domains or URLs."""


class WebSettings(BaseModel):
    """Limits of web_read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    private_hosts: tuple[str, ...] = ()
    """Hosts (host or host:port) that may be read although their address is private or local."""


class TokenPrice(BaseModel):
    """The price of a model in US dollars per million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: NonNegativeFloat
    output: NonNegativeFloat
    cached: NonNegativeFloat | None = None
    """Input read from the provider's cache; null: the price of input."""
    cache_write: NonNegativeFloat | None = None
    """Input written to the provider's cache; null: the price of input."""


def _priced(prices: "dict[str, NonNegativeFloat | TokenPrice]") -> "dict[str, NonNegativeFloat | TokenPrice]":
    for key in prices:
        scheme, separator, rest = key.partition("://")
        if not (rest and scheme in ("http", "https")) and (separator or "/" not in key.strip("/")):
            raise ValueError(f"{key!r} is neither a base URL nor a model id of the form provider/model")
    return prices


class Settings(BaseModel):
    """All settings. The shipped file has the default of each."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model_name: Annotated[str, Field(min_length=1)] = "anthropic/claude-sonnet-5"
    """The model, as provider/model."""
    compact_model: str | None = None
    """The model that summarises when the conversation is compacted; null: the main model."""
    research_model: str | None = None
    """The model of sub-agents; null: the main model."""
    fallback_model: str | None = None
    """The model to use when another one stays unavailable or has no credit left; null: none."""
    model_params: dict[str, JsonValue] = Field(default_factory=dict)
    """Additional request parameters of the main model, such as temperature or max_tokens."""
    tool_calls: Literal["auto", "text"] = "auto"
    """How tools are called: auto (natively, or by text if the model does not support it) or always by text."""
    prices: Annotated[dict[str, NonNegativeFloat | TokenPrice], AfterValidator(_priced)] = Field(default_factory=dict)
    """Prices in US dollars per million tokens, by base URL or model id: one number, or {"input": X, "output": Y}."""
    strict_budget: bool = False
    """Refuse models of unknown price when there is a budget, instead of counting their requests."""
    compact_threshold: Annotated[int, Field(ge=1_000)] = COMPACT_THRESHOLD
    """Tokens above which the conversation is compacted, at most 90 % of the model's context window."""
    reasoning_effort: Effort | None = None
    """Reasoning effort; null or off: the model's default."""
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
    hub_collection: bool | None = None
    """Gather the repositories that a thread writes to in one collection; null: ask once per thread, unattended: no."""
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

    @property
    def named_prices(self) -> dict[str, JsonValue]:
        """Return the prices as plain values."""
        return {key: price if isinstance(price, float) else price.model_dump() for key, price in self.prices.items()}

    @property
    def other_models(self) -> tuple[str, ...]:
        """Return the models used beside the main one."""
        return tuple(filter(None, (self.research_model, self.compact_model, self.fallback_model)))


WITHOUT_EFFECT: dict[str, str] = {
    "session_dataset_repo": "threads stay on this machine",
    "auto_save_interval": "every step is saved",
    "heartbeat_interval_s": "every step is saved",
    "auto_file_upload": "nothing is uploaded without being asked for",
}
"""Keys of older files, with the reason why they have no effect. They give a note, not an error."""
