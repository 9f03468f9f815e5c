"""The settings model. configs/layers.py merges the files and options that set its values."""

import re
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    NonNegativeFloat,
    model_validator,
)

from ml_intern.configs.hosts import check_host_list, check_hosts
from ml_intern.configs.mcp_servers import McpServer, check_names
from ml_intern.graph.limits import COMPACT_THRESHOLD, MAX_ITERATIONS, Effort, VerifyLevel
from ml_intern.text.durations import DURATION_FORMS, seconds_of

DEFAULT_AUTO_EVENTS: tuple[Literal["approval_required", "error", "turn_complete"], ...] = (
    "approval_required",
    "error",
    "turn_complete",
)


def _positive_or_unlimited(number: int) -> int:
    if number < 1 and number != -1:
        raise ValueError("must be 1 or more, or -1 for unlimited")
    return number


def _duration(value: str | float | None) -> str | float | None:
    if isinstance(value, str):
        try:
            seconds_of(value)
        except ValueError as error:
            raise ValueError(f"{error}; {DURATION_FORMS}") from error
    return value


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


def _from_text(value: JsonValue) -> JsonValue:
    """Accept a command as text where an object is expected."""
    return {"command": value} if isinstance(value, str) else value


class Hook(BaseModel):
    """A command that gets an event as JSON on its standard input."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: Annotated[str, Field(min_length=1)]
    """The command, for bash. It starts in your home folder."""
    tools: list[str] = ["*"]
    """before_tool and after_tool: patterns of the names of tools."""
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 10.0
    """Seconds after which it is stopped, and has failed."""


HookList = tuple[Annotated[Hook, BeforeValidator(_from_text)], ...]


class HookSettings(BaseModel):
    """Commands of the user at points of a turn, see docs/hooks.md."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    before_tool: HookList = ()
    """Before a call: exit code 2 refuses it, with the reason on the error output."""
    after_tool: HookList = ()
    """After a call, with its result."""
    at_stop: HookList = ()
    """At the end of a turn."""
    on_question: HookList = ()
    """When calls or a question wait for your answer."""


class BackupSettings(BaseModel):
    """Backups of the thread database, in the folder `backups` of the data folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    turns: Annotated[int, Field(ge=0)] = 10
    """Turns after which one is made; in long turns it is made every hour; 0: none."""
    keep: Annotated[int, Field(ge=1)] = 3
    """The number of backups that stay; older ones are deleted."""


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


def check_endpoint(address: str) -> str:
    """Check an address that gets telemetry. Raises ValueError."""
    if address and not re.match(r"https?://[^/\s]", address):
        raise ValueError("the endpoint is not an http address")
    return address


class WebSettings(BaseModel):
    """Limits of web_read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    private_hosts: tuple[str, ...] = ()
    """Hosts (host or host:port) that may be read although their address is private or local."""


class WebPageSettings(BaseModel):
    """The web page of `ml-intern web`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    origin: str = ""
    """The address of a TLS proxy in front of the page, such as https://gpu.example.org; empty: loopback only."""


class LoginSettings(BaseModel):
    """Login by OpenID Connect. The client's secret is in the variable ML_INTERN_LOGIN_SECRET."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: Annotated[str, AfterValidator(check_endpoint)] = ""
    """The address of the issuer, such as https://huggingface.co; empty: tokens only."""
    client_id: str = ""
    """The id that the issuer gave this server."""
    scopes: str = "openid profile email"
    users: tuple[str, ...] = ()
    """Who may sign in: patterns of user names or verified addresses, such as *@example.org."""
    admins: tuple[str, ...] = ()
    """Who is an admin from the first login on: patterns, too."""


class TeamSettings(BaseModel):
    """A team's server, see docs/team.md."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    login: LoginSettings = LoginSettings()

    posts_per_minute: Annotated[int, Field(ge=1)] = 60
    """How many messages, answers and other changes a user may send within a minute."""
    models: tuple[str, ...] = ("*",)
    """The models that users may name, as patterns such as anthropic/*. `*` does not fit scripted: models."""


class TelemetrySettings(BaseModel):
    """Traces of OpenTelemetry, see docs/telemetry.md."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: Annotated[str, AfterValidator(check_endpoint)] = ""
    """The address that gets the spans over OTLP/HTTP, such as http://127.0.0.1:4318/v1/traces; empty: none are made."""
    content: bool = False
    """Send messages, arguments and results, too."""


class TerminalSettings(BaseModel):
    """The look of the terminal, and how it asks for your attention."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    theme: Literal["auto", "dark", "light", "ansi", "none"] = "auto"
    """Colours; auto: dark or light as the terminal or COLORFGBG says, else ansi; none with NO_COLOR."""
    plain: bool = False
    """Plain mode: lines in order, numbered questions, no control sequences; for screen readers."""
    notifications: Literal["auto", "bell", "off"] = "auto"
    """Notify if a question waits or a long turn ends while the window is not in focus; auto: as the terminal can."""
    notify_after_s: NonNegativeFloat = 30.0
    """Seconds from which a turn is long."""
    title: bool = True
    """Show the state in the title of the window."""
    images: Literal["auto", "off"] = "auto"
    """Show images where the terminal can: kitty's graphics protocol or iTerm2's inline images, never inside tmux."""
    escape_ms: Annotated[int, Field(ge=0, le=2_000)] = 30
    """Milliseconds after which Esc counts as a key of its own; more for a slow connection."""


class TokenPrice(BaseModel):
    """The price of a model in US dollars per million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: NonNegativeFloat
    """Tokens of the request."""
    output: NonNegativeFloat
    """Tokens of the reply."""
    cached: NonNegativeFloat | None = None
    """Input read from the provider's cache; null: the price of input."""
    cache_write: NonNegativeFloat | None = None
    """Input written to the provider's cache; null: the price of input."""

    @model_validator(mode="before")
    @classmethod
    def _one_number_for_all(cls, price: JsonValue) -> JsonValue:
        if isinstance(price, int | float) and not isinstance(price, bool) and price >= 0:
            return {"input": price, "output": price}
        if isinstance(price, dict):
            return price
        raise ValueError('must be US dollars per million tokens: a number of at least 0, or {"input": X, "output": Y}')


def _priced(prices: "dict[str, TokenPrice]") -> "dict[str, TokenPrice]":
    for key in prices:
        scheme, separator, rest = key.partition("://")
        if not (rest and scheme in ("http", "https")) and (separator or "/" not in key.strip("/")):
            raise ValueError(f"{key!r} is neither a base URL nor a model id of the form provider/model")
    return prices


TARGET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,39}")
_WORD = re.compile(r"[^\s\-][^\s]*")
_HTTP_ADDRESS = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")
RESERVED_TARGETS = frozenset({"local", "hub", "sandbox", "ssh", "slurm", "ray", "pool", "unknown"})


def _one_word(text: str) -> str:
    if text and _WORD.fullmatch(text) is None:
        raise ValueError("must be one word that does not begin with -")
    return text


def _http_address(text: str) -> str:
    if text and _HTTP_ADDRESS.fullmatch(text) is None:
        raise ValueError("must be an address such as http://127.0.0.1:8265")
    return text.rstrip("/")


def check_target_names(targets: "dict[str, ComputeTarget]") -> "dict[str, ComputeTarget]":
    """Return the targets. Raises ValueError for an invalid name, and for a pool with other members than machines."""
    machines = [name for name, target in targets.items() if target.kind in ("ssh", "slurm")]
    for name, target in targets.items():
        if unknown := [member for member in target.members if member not in machines]:
            raise ValueError(f"{name}: {unknown[0]!r} is not a machine or Slurm cluster of this setting")
        if TARGET_NAME.fullmatch(name) is None or name in RESERVED_TARGETS:
            reserved = ", ".join(sorted(RESERVED_TARGETS))
            raise ValueError(f"{name!r} is not a name of 2 to 40 letters, digits and _.- (reserved: {reserved})")
    return targets


class ComputeTarget(BaseModel):
    """A machine that is reached over ssh, a Slurm cluster, a pool of these, or a Ray cluster."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["ssh", "slurm", "ray", "pool"]
    """ssh: a machine; slurm: a cluster, used from here or, with `host`, over ssh; ray: a cluster at `address`;
    pool: the targets in `members`."""
    host: Annotated[str, AfterValidator(_one_word)] = ""
    """A host of your ssh configuration, or user@host. Required for ssh."""
    address: Annotated[str, AfterValidator(_http_address)] = ""
    """ray: the address of the dashboard, such as http://127.0.0.1:8265."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """null: as in your ssh configuration."""
    ssh_config: str | None = None
    """A configuration file for ssh; null: your own."""
    members: tuple[str, ...] = ()
    """pool: targets that share one queue of runs."""
    max_runs: Annotated[int, Field(ge=1)] | None = None
    """Runs at once; others wait. null: any number on a machine, one in pools and sweeps. slurm: only for a sweep."""
    workdir: str = "~/.ml-intern-runs"
    """The folder there for runs and delivered files; for Slurm on a file system that the nodes share."""
    setup: str = ""
    """Shell commands before each run, such as `source ~/venv/bin/activate`."""
    modules: tuple[Annotated[str, AfterValidator(_one_word)], ...] = ()
    """Environment modules to load before each run."""
    wheels: str = ""
    """A folder there with wheels, for a machine without internet: uv and pip install from it alone."""
    container: Annotated[str, AfterValidator(_one_word)] = ""
    """An image to run the command in."""
    container_runtime: Literal["apptainer", "pyxis"] = "apptainer"
    """The program that runs the image: apptainer or, in jobs of Slurm, srun with the plugin pyxis."""
    usd_per_hour: NonNegativeFloat = 0.0
    """The price of an hour; it counts against the budget."""
    partition: Annotated[str, AfterValidator(_one_word)] = ""
    """slurm: the partition; empty: the default one."""
    account: Annotated[str, AfterValidator(_one_word)] = ""
    """slurm: the account that pays."""
    qos: Annotated[str, AfterValidator(_one_word)] = ""
    """slurm: the quality of service."""
    gpus: Annotated[str, AfterValidator(_one_word)] = ""
    """slurm, ray: GPUs per run unless the run asks for others, such as 1 or a100:2."""
    requeue: bool = False
    """slurm: whether Slurm starts a run again that it stopped, such as a preempted one. The script must continue
    from its own checkpoints."""
    sbatch: tuple[str, ...] = ()
    """slurm: further options of sbatch, such as --mem=32G."""
    squeue_s: NonNegativeFloat = 15.0
    """slurm: seconds between two requests to the queue, for all runs at once. Sites limit them."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind == "ssh" and not self.host:
            raise ValueError("a target of kind ssh needs a host")
        if (self.kind == "ray") != bool(self.address):
            raise ValueError("a target of kind ray, and no other, needs an address")
        if (self.kind == "pool") != bool(self.members):
            raise ValueError("a target of kind pool, and no other, needs members")
        if self.kind != "slurm" and (self.requeue or self.container_runtime == "pyxis"):
            raise ValueError("only a target of kind slurm has requeue and pyxis")
        return self


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
    """The model to use when another one stays unavailable, has no credit left or is gone; null: none."""
    model_params: dict[str, JsonValue] = Field(default_factory=dict)
    """Additional request parameters of the main model, such as temperature or max_tokens."""
    tool_calls: Literal["auto", "text"] = "auto"
    """How tools are called: auto (natively, or by text if the model does not support it) or always by text."""
    transport: Literal["auto", "litellm"] = "auto"
    """How hosted models are called: auto (Anthropic's directly, the others through litellm), or all through litellm."""
    prices: Annotated[dict[str, TokenPrice], AfterValidator(_priced)] = Field(default_factory=dict)
    """Prices in US dollars per million tokens, by base URL or model id: one number, or {"input": X, "output": Y}."""
    compute: Annotated[dict[str, ComputeTarget], AfterValidator(check_target_names)] = Field(default_factory=dict)
    """Your own machines and clusters by name, see configs/settings.py."""
    patience: Annotated[str | NonNegativeFloat | None, AfterValidator(_duration)] = None
    """How long to wait for a model that does not answer, such as 10m or 8h; null: 5m on a terminal, 1h unattended."""
    strict_budget: bool = False
    """Refuse models of unknown price when there is a budget, instead of counting their requests."""
    compact_threshold: Annotated[int, Field(ge=1_000)] = COMPACT_THRESHOLD
    """Tokens above which the conversation is compacted, at most 90 % of the model's context window."""
    reasoning_effort: Effort | None = None
    """Reasoning effort; null or off: the model's default."""
    verify: VerifyLevel | None = None
    """The checks before an answer counts as done; null: quick on a terminal, standard unattended."""
    max_iterations: Annotated[int, AfterValidator(_positive_or_unlimited)] = MAX_ITERATIONS
    """Model calls per turn; -1: unlimited."""
    yolo_mode: bool = False
    """Run every call without approval; only deny rules apply."""
    permissions: PermissionLists = PermissionLists()
    """Deny takes precedence over ask, ask over allow. The rules of all layers apply."""
    hooks: HookSettings = HookSettings()
    """Your commands at points of a turn. Those of all layers run."""
    backup: BackupSettings = BackupSettings()
    sandbox: SandboxSettings = SandboxSettings()
    hosts: Annotated[dict[str, str], AfterValidator(check_hosts)] = Field(default_factory=dict)
    """Base URLs that replace those of services, see configs/hosts.py."""
    web: WebSettings = WebSettings()
    web_page: WebPageSettings = WebPageSettings()
    team: TeamSettings = TeamSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
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
    terminal: TerminalSettings = TerminalSettings()
    save_sessions: bool = True
    """Save threads in the database; false makes every new thread --ephemeral."""
    share_traces: Literal[True, False, "private", "public"] = False
    """Upload threads as traces to a dataset of the user; true: private."""
    personal_trace_repo_template: Annotated[str | None, AfterValidator(_dataset_template)] = (
        "{hf_user}/ml-intern-sessions"
    )
    """The dataset of traces; {hf_user} is replaced by the owner of the token."""

    @property
    def patience_s(self) -> float | None:
        """Return the patience in seconds."""
        return seconds_of(self.patience) if isinstance(self.patience, str) else self.patience

    @property
    def named_prices(self) -> dict[str, JsonValue]:
        """Return the prices as plain values."""
        return {key: price.model_dump() for key, price in self.prices.items()}

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
