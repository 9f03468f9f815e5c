"""What a run is before it starts, and the small interface of whoever carries it out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from ml_intern.execution.tool import ToolContext

BackendName = Literal["local", "hub", "sandbox"]
DEFAULT_LIMIT_S = 24 * 3600.0


@dataclass(frozen=True)
class RunPlan:
    """A run as it is asked for. Either `command` or `script` is there; times are seconds, prices US dollars."""

    backend: BackendName
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
    limit_s: float = DEFAULT_LIMIT_S
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


class Backend(Protocol):
    """Carries runs out. A handle is JSON text; with it, and nothing else, another process finds the run again."""

    name: BackendName
    seconds_between_looks: float

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
