"""The inputs of the rules beside the plan. They are gathered beforehand, so that the rules make no requests."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ml_intern.runs.preflight.program import Program
from ml_intern.runs.remote.measured import MeasuredTarget


@dataclass(frozen=True)
class EarlierRun:
    """An earlier run of this thread."""

    backend: str
    state: str
    shape: str = ""
    """The shape of its script (see Program.shape); "" when unknown."""
    seconds: float | None = None
    limit_s: float = 0.0

    @property
    def open(self) -> bool:
        """Whether the run is queued or running."""
        return self.state in ("queued", "running")


@dataclass(frozen=True)
class PreflightInputs:
    """Values known before a run. A missing entry means unknown; no rule refuses a run because of an unknown value."""

    program: Program | None = None
    """The script to run; None when there is none or it cannot be parsed."""
    script_path: str = ""
    unreadable: str = ""
    """Why the script cannot be parsed as Python; "" when it can."""
    limit_named: bool = True
    """Whether the caller set the time limit; otherwise it is the default."""
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Column names by dataset id."""
    rows: Mapping[str, int] = field(default_factory=dict[str, int])
    """Number of rows of the training split, by dataset id."""
    parameters: Mapping[str, int] = field(default_factory=dict[str, int])
    """Number of parameters by model id."""
    local_paths: frozenset[str] = frozenset()
    """The strings in script and command that name a file or folder on this machine."""
    local_modules: frozenset[str] = frozenset()
    """The imports that are files in the working folder."""
    earlier: tuple[EarlierRun, ...] = ()
    user_text: str = ""
    sandboxed: bool = False
    """Whether local commands run in the sandbox, whose /tmp starts empty and is deleted with the command."""
    target: MeasuredTarget | None = None
    """The measurements of the run's target; None when it has no target or was never measured."""
