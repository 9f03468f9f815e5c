"""The plan of a run, and the interface of the compute backends that run it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ml_intern.graph.limits import RUN_LIMIT_S

if TYPE_CHECKING:
    from ml_intern.execution.tool import ExternalEffects, ToolContext
    from ml_intern.store.store import Store


@dataclass(frozen=True)
class RunPlan:
    """A run as it is asked for. Either `command` or `script` is there; times are seconds, prices US dollars."""

    backend: str
    """The name of its BackendSpec."""
    display: str
    """What a person sees of what runs."""
    workdir: Path
    command: tuple[str, ...] = ()
    script: str = ""
    """The text of a Python script; its dependencies stand in it (PEP 723)."""
    script_path: Path | None = None
    """The file that the text was read from."""
    script_args: tuple[str, ...] = ()
    name: str = ""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Further variables. No secrets: those are named."""
    secrets: tuple[str, ...] = ()
    """Names of the user's secrets that this run alone is given."""
    hardware: str | None = None
    image: str | None = None
    namespace: str | None = None
    limit_s: float = RUN_LIMIT_S
    usd_per_hour: float | None = 0.0
    """None: not known."""
    overrides: tuple[str, ...] = ()
    """Rules of the preflight that do not hold this time; shown when the run is approved."""

    @property
    def worst_usd(self) -> float | None:
        """The most it may cost; None when its price is not known."""
        return None if self.usd_per_hour is None else self.usd_per_hour * self.limit_s / 3600


@dataclass(frozen=True)
class RunStatus:
    """How a run stands: `state` is one of store.runs.OPEN or FINAL. Times are seconds since the epoch."""

    state: str
    exit_code: int | None = None
    reason: str = ""
    started: float | None = None
    finished: float | None = None
    cost_usd: float | None = 0.0
    """What it cost so far, in US dollars; None when that is not known."""


@dataclass(frozen=True)
class BackendSpec:
    """The declaration of a compute backend. Callers ask for its capabilities, never for its name."""

    name: str
    title: str
    """Where its runs are, in words."""
    open: "Callable[[Store], Backend]"
    """Create the backend for an open store."""
    is_remote: bool = False
    """Its runs are on another machine, which has its own network and files."""
    is_disposable: bool = False
    """Each run gets a new machine: no local file is there, and what the run leaves on its disk is deleted."""
    has_prices: bool = False
    """Its runs cost money by the hour."""
    selects_hardware: bool = False
    """A run may name its hardware, container image and namespace."""
    can_reattach: bool = True
    """Runs continue when ml-intern ends, and a handle finds them again."""
    streams_logs: bool = True
    """The log can be read while the run goes on."""
    max_nodes: int = 1
    """How many machines one run can use."""
    default_limit_s: float = RUN_LIMIT_S
    """The time limit of a run that names none, in seconds."""
    poll_seconds: float = 1.0
    """How long to wait between two polls of one run."""


class Backend(Protocol):
    """Executes runs. A handle is JSON text, all that another process needs to find the run again."""

    async def complete(self, plan: RunPlan, context: "ToolContext", /) -> RunPlan:
        """Return the plan with defaults and the price filled in. Called before it is approved and launched.

        Raises ToolError.
        """
        ...

    async def effects(self, plan: RunPlan, context: "ToolContext", /) -> "ExternalEffects":
        """Return what the run reaches outside this machine, its maximum price included. Raises ToolError."""
        ...

    async def launch(self, plan: RunPlan, id: str, context: "ToolContext") -> str:
        """Start a run that carries `id` as its label, and return its handle.

        Started again under the same id it must not run a second time. Raises ToolError with what went wrong.
        """
        ...

    async def find(self, id: str) -> str | None:
        """The handle of the run with that label; None when there surely is none. Raises TemporaryError otherwise."""
        ...

    async def abandon(self, id: str) -> bool:
        """Make sure that the run with that label, which has no handle, never starts; False when it did start."""
        ...

    async def inspect(self, handle: str) -> RunStatus:
        """How the run stands. Raises TemporaryError when that cannot be told now."""
        ...

    async def fetch_log(self, handle: str, log: Path) -> None:
        """Append to the local copy of its output what is new, each line once. Raises TemporaryError."""
        ...

    async def usage(self, handle: str) -> str:
        """Its use of CPU, memory and GPU in a line; "" when that is not known."""
        ...

    async def cancel(self, handle: str) -> None:
        """Stop it with all it started; nothing happens when it ended before. Raises TemporaryError."""
        ...
