"""The plan of a run, and the interface of the compute backends that run it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ml_intern.graph.limits import RUN_LIMIT_S

if TYPE_CHECKING:
    from ml_intern.execution.tool import ExternalEffects, ToolContext
    from ml_intern.store.store import Store


@dataclass(frozen=True)
class RunPlan:
    """A requested run. Either `command` or `script` is set. Times are in seconds, prices in US dollars."""

    backend: str
    """The name of its BackendSpec."""
    display: str
    """The command as shown to the user."""
    workdir: Path
    command: tuple[str, ...] = ()
    script: str = ""
    """The text of a Python script, with its dependencies in a PEP 723 block."""
    script_path: Path | None = None
    """The file the script was read from."""
    script_args: tuple[str, ...] = ()
    name: str = ""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Additional variables, without secrets, which are passed by name."""
    secrets: tuple[str, ...] = ()
    """Names of the user's secrets that are passed to this run."""
    hardware: str | None = None
    target: str = ""
    """The machine or cluster of the settings that runs it."""
    nodes: int = 1
    gpus: str = ""
    """The number of GPUs, or their kind and number: "2", "a100:2"."""
    image: str | None = None
    namespace: str | None = None
    limit_s: float = RUN_LIMIT_S
    usd_per_hour: float | None = 0.0
    """None when unknown."""
    price_usd: float | None = None
    """The maximum cost of a run that is not paid by the hour."""
    slots: int = 0
    """How many runs may run at once on its machine, if its settings do not say; the others wait. 0: any number."""
    notify_when: tuple[str, ...] = ()
    """The conditions that wake the model while the run continues, see runs/notify.py."""
    overrides: tuple[str, ...] = ()
    """Preflight rules to override, shown in the approval request."""

    @property
    def max_usd(self) -> float | None:
        """The maximum cost; None when the price is unknown."""
        if self.price_usd is not None:
            return self.price_usd
        return None if self.usd_per_hour is None else self.usd_per_hour * self.limit_s / 3600


@dataclass(frozen=True)
class RunStatus:
    """The status of a run. `state` is one of store.runs.OPEN or FINAL. Times are in seconds since the epoch."""

    state: str
    exit_code: int | None = None
    reason: str = ""
    started: float | None = None
    finished: float | None = None
    cost_usd: float | None = 0.0
    """The cost so far in US dollars; None when unknown."""


@dataclass(frozen=True)
class BackendSpec:
    """The declaration of a compute backend. Callers ask for its capabilities, never for its name."""

    name: str
    open: "Callable[[Store], Backend]"
    """Create the backend for an open store."""
    is_remote: bool = False
    """Its runs are executed on another machine, which has its own network and files."""
    is_disposable: bool = False
    """Each run gets a new machine without local files, whose disk is deleted when the run ends."""
    has_prices: bool = False
    """Its runs cost money by the hour."""
    selects_hardware: bool = False
    """A run may name its hardware, container image and namespace."""
    max_nodes: int = 1
    """How many machines one of its runs may use."""
    selects_gpus: bool = False
    """A run may ask for GPUs by their number, or by kind and number."""
    has_queue: bool = False
    """Its cluster decides how many runs are executed at once, unless a limit is given."""
    needs_target: bool = False
    """A run names a target of the settings, see configs/settings.py."""
    is_agent: bool = False
    """Its runs are agents, which may read outside text. Only a tool of its own starts them."""
    can_reattach: bool = True
    """Runs continue when ml-intern ends, and a handle finds them again."""
    streams_logs: bool = True
    """The log can be read while the run continues."""
    default_limit_s: float = RUN_LIMIT_S
    """The default time limit of a run, in seconds."""
    poll_seconds: float = 1.0
    """How long to wait between two polls of one run."""


class Backend(Protocol):
    """Executes runs. A handle is a JSON string with everything another process needs to find the run."""

    async def complete(self, plan: RunPlan, context: "ToolContext", /) -> RunPlan:
        """Return the plan with defaults and the price filled in. Called before it is approved and launched.

        Raises ToolError.
        """
        ...

    async def effects(self, plan: RunPlan, context: "ToolContext", /) -> "ExternalEffects":
        """Return what the run reaches outside this machine, its maximum price included. Raises ToolError."""
        ...

    async def launch(self, plan: RunPlan, id: str, context: "ToolContext") -> str:
        """Start a run labelled with `id`, and return its handle.

        A second launch with the same id must not start the run again. Raises ToolError with the reason.
        """
        ...

    async def find(self, id: str) -> str | None:
        """Return the handle of the run with this label; None when it does not exist.

        Raises TemporaryError when that cannot be determined.
        """
        ...

    async def abandon(self, id: str) -> bool:
        """Prevent the run with this label, which has no handle, from starting. Return False when it has started."""
        ...

    async def inspect(self, handle: str) -> RunStatus:
        """Return the status of the run. Raises TemporaryError when it is not available now."""
        ...

    async def fetch_log(self, handle: str, log: Path) -> None:
        """Append the new output to the local log, each line once. Raises TemporaryError."""
        ...

    async def usage(self, handle: str) -> str:
        """Return its CPU, memory and GPU usage in one line; "" when unknown."""
        ...

    async def cancel(self, handle: str) -> None:
        """Stop the run and all its processes. A run that has ended stays as it is. Raises TemporaryError."""
        ...


@runtime_checkable
class LaunchesTogether(Backend, Protocol):
    """A backend that starts the runs of a sweep in one request."""

    async def launch_all(
        self, plans: Mapping[str, RunPlan], sweep: Sequence[str], context: "ToolContext"
    ) -> dict[str, str]:
        """Start runs with the same resources by id, as `launch` does for each, and return their handles.

        `sweep` has the ids of all runs of the sweep, also of those that are not to be started. Raises as `launch`;
        after a ToolError, none of them was started.
        """
        ...


@dataclass(frozen=True)
class RunOutput:
    """A file of a run: its path below the run's folder, size in bytes and SHA-256."""

    path: str
    size: int
    digest: str


@dataclass(frozen=True)
class Outputs:
    """The files that were copied, and notes about those that were not."""

    files: Sequence[RunOutput]
    notes: Sequence[str]


@runtime_checkable
class FetchesOutputs(Protocol):
    """A backend whose runs have files that can be copied to this machine."""

    async def fetch_outputs(
        self, handle: str, patterns: Sequence[str], place: Path, *, written: bool = False
    ) -> Outputs:
        """Copy the matching files of a run below `place`, all or only those that the run has `written`.

        Raises ToolError and TemporaryError.
        """
        ...
