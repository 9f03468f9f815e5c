"""What a run is given: RunOptions (plain and JSON-able) and Services (clients and callbacks, never saved)."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from models.gateway import Models
    from store.store import Store
    from tools.base import ToolResult, ToolSpec

ApprovalMode = Literal["ask", "auto", "yolo", "plan"]
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
    compact_threshold: int = 170_000
    """Tokens above which the conversation is compacted, at most 90 % of the model's window."""
    child: bool = False
    """A sub-agent: it has nobody to ask, a verdict "ask" is a refusal."""
    tool_names: tuple[str, ...] = ()
    """The tools on offer; empty means all."""
    model_params: Mapping[str, Any] = field(default_factory=dict[str, Any])


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
    spawn: "Callable[..., Awaitable[ToolResult]] | None" = None
    """Runs a sub-agent in a child thread; set by graph.children."""

    def artifacts(self, thread_id: str) -> Path:
        """The folder of a thread's artifact files."""
        return self.store.home / "artifacts" / thread_id
