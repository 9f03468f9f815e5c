"""RunOptions: the options of a run, as plain values that can be serialized as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ml_intern.graph.limits import (
    COMPACT_THRESHOLD,
    MAX_ITERATIONS,
    PATIENCE_S,
    UNLIMITED,
    ApprovalMode,
    VerifyLevel,
)

HUB_COLLECTION = "hub_collection"
"""The setting of the field of this name in RunOptions."""
Sandbox = Literal["none", "off", "list", "on"]
"""The sandbox of local commands: none, or one with no network, listed hosts only or the full network."""
SandboxKind = Literal["bubblewrap", "basic"]


@dataclass(frozen=True)
class RunOptions:
    """The options of a run. Plain values only, so that they can be serialized as JSON."""

    model: str
    workspace: str
    """Absolute path of the working folder."""
    add_dirs: tuple[str, ...] = ()
    approval_mode: ApprovalMode = "ask"
    headless: bool = False
    """Unattended mode: a pending approval ends the run with exit code 3."""
    stream: bool = True
    max_iterations: int = MAX_ITERATIONS
    """Model calls in a turn; -1 is unlimited."""
    max_budget_usd: float = UNLIMITED
    """Budget of the thread and its sub-agents in US dollars; -1 is unlimited."""
    prices: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Prices that the settings name, by model id or base URL."""
    compute: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The user's machines and clusters by name, see configs/settings.py."""
    patience_s: float = PATIENCE_S
    """Seconds for which an outage of a model is waited out."""
    strict_budget: bool = False
    """Refuse models of unknown price when there is a budget."""
    effort: str | None = None
    compact_model: str | None = None
    research_model: str | None = None
    """The model of sub-agents; None means the main model."""
    fallback_model: str | None = None
    """The model used when another stays unavailable; None means no fallback."""
    compact_threshold: int = COMPACT_THRESHOLD
    """Tokens above which the conversation is compacted, at most 90 % of the model's context window."""
    root: str = ""
    """The thread whose budget and events this run uses; empty means its own."""
    child: bool = False
    """Whether this is a sub-agent. A sub-agent is unattended: the verdict "ask" refuses the call."""
    share_tokens: int = UNLIMITED
    """Token quota of a sub-agent; -1 is unlimited."""
    share_usd: float = UNLIMITED
    """Quota of a sub-agent in US dollars, within the budget of its main thread; -1 is unlimited."""
    tool_names: tuple[str, ...] = ()
    """The available tools; empty means all."""
    notes: tuple[str, ...] = ()
    """Notes to the user about this run, sent with the `ready` event."""
    model_params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    permissions: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Rules from the settings: {"allow": [...], "ask": [...], "deny": [...]}, see safety/rule_settings.py."""
    hooks: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The user's hooks by event: {"before_tool": [{command, tools, timeout_s}], ...}, see configs/settings.py."""
    sandbox: Sandbox = "none"
    sandbox_kind: SandboxKind = "bubblewrap"
    sandbox_missing: bool = False
    """Commands have no sandbox because there is none on this machine, not because the user declined it."""
    sandbox_hosts: tuple[str, ...] = ()
    """Additional hosts that the user allows when `sandbox` is "list"."""
    tool_runtime: Literal["local", "sandbox"] = "local"
    """Where bash, read, write and edit run: on this machine or in a Hugging Face sandbox."""
    hub_collection: bool | None = None
    """Whether a Hub collection gathers what a thread publishes; None asks the user once, and means no if unattended."""
    hosts: Mapping[str, str] = field(default_factory=dict[str, str])
    """Base URLs that replace those of the services used by tools, see configs/hosts.py."""
    private_hosts: tuple[str, ...] = ()
    """Hosts (host or host:port) on private networks that web_read may fetch."""
    advice: str = ""
    """Instructions to the model from the trusted folder, see configs/advice.py."""
    memory: str = ""
    """Facts that earlier threads of the folder learned, see configs/memory/."""
    transport: Literal["auto", "litellm"] = "auto"
    """How hosted models are called, see configs/settings.py."""
    tool_calls: Literal["auto", "text"] = "auto"
    """How models call tools: natively where they support it, or always by text."""
    verify: VerifyLevel = "off"
    """The checks before an answer counts as done, see docs/evidence.md."""
    locks: tuple[str, ...] = ()
    """Patterns of files, relative to the workspace, that commands and tools must not change."""
    goal: str = ""
    """The goal of the thread, checked at the end of each turn, see evidence/goals.py; empty means none."""
    holdout: str = ""
    """Absolute path of the test data that the agent cannot read, see evidence/holdout.py; empty means none."""
    holdout_dataset: str = ""
    """The dataset on the Hub that the hold-out is from, which the agent does not reach; empty means none."""
    hidden: tuple[str, ...] = ()
    """Further files that the agent cannot read. Nothing is scored on them."""
    shown: tuple[str, ...] = ()
    """Files and folders outside the working folders that commands can read."""
    given: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The options that are saved with the thread for its continuation."""
    user_text: str = ""
    """The text that the user typed in the main thread, for a sub-agent, whose own thread has no user messages."""

    @property
    def models(self) -> tuple[str, ...]:
        """Return the models of the run, each once, the main one first."""
        named = (self.model, self.research_model, self.compact_model, self.fallback_model)
        return tuple(dict.fromkeys(filter(None, named)))

    @property
    def unreadable(self) -> tuple[str, ...]:
        """Return the files that the agent cannot read."""
        return (self.holdout, *self.hidden) if self.holdout else self.hidden

    @property
    def asks_about_collection(self) -> bool:
        """Return whether the user can be asked about the collection. Mode yolo asks nothing."""
        return not self.headless and not self.child and self.approval_mode != "yolo"


REMOTE_SANDBOX = "a Hugging Face sandbox"
"""The `sandbox_name` of commands that run in a Hugging Face sandbox."""


def sandbox_name(options: RunOptions) -> str:
    """Describe the sandbox of commands. The description is part of the digest that binds an approval."""
    if options.tool_runtime == "sandbox":
        return REMOTE_SANDBOX
    if options.sandbox == "none":
        return "none"
    kind = "bwrap" if options.sandbox_kind == "bubblewrap" else options.sandbox_kind
    return " ".join([f"{kind} network", options.sandbox, *options.sandbox_hosts])


def sandbox_words(name: str) -> str:
    """Return a `sandbox_name` in words: how commands are contained, and what they reach on the network."""
    kind, _, network = name.partition(" network ")
    reached = {"off": "no network", "on": "whole network", "list": "listed hosts"}.get(network.partition(" ")[0])
    if reached is None:
        return "no sandbox" if name == "none" else name
    return f"{'basic sandbox' if kind == 'basic' else 'sandbox'}, {reached}"
