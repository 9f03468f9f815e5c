"""RunOptions: the choices a run is made with, as plain values that may travel as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ml_intern.graph.limits import COMPACT_THRESHOLD, MAX_ITERATIONS, UNLIMITED

ApprovalMode = Literal["ask", "auto", "yolo", "plan"]
Sandbox = Literal["none", "off", "list", "on"]
"""The wall around local commands: none, or bubblewrap with this network."""


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
    max_iterations: int = MAX_ITERATIONS
    """Model calls in a turn; -1 is unlimited."""
    max_budget_usd: float = UNLIMITED
    """Cap over the whole tree of agents in US dollars; -1 is unlimited."""
    effort: str | None = None
    compact_model: str | None = None
    research_model: str | None = None
    """The model of sub-agents; None is the main one."""
    fallback_model: str | None = None
    """The model asked when another stays unavailable; None: none."""
    compact_threshold: int = COMPACT_THRESHOLD
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
