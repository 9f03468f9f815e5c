"""What the rules are told besides the plan: facts that somebody gathered, so that the rules themselves ask nobody."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ml_intern.runs.preflight.program import Program


@dataclass(frozen=True)
class Earlier:
    """A run of this thread that was started before."""

    backend: str
    state: str
    shape: str = ""
    """The shape of its script, see Program.shape; "" when it is not known."""
    seconds: float | None = None
    limit_s: float = 0.0

    @property
    def open(self) -> bool:
        """Whether it is still under way."""
        return self.state in ("queued", "running")


@dataclass(frozen=True)
class Facts:
    """What is known. An absent entry means that nobody could tell; no rule refuses for want of a fact."""

    program: Program | None = None
    """The script that would run; None where there is none that could be read."""
    script_path: str = ""
    unreadable: str = ""
    """Why the script cannot be read as Python."""
    limit_named: bool = True
    """Whether the caller chose the time limit; else it is the default."""
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Column names by dataset id."""
    rows: Mapping[str, int] = field(default_factory=dict[str, int])
    """Rows of the split that is trained on, by dataset id."""
    parameters: Mapping[str, int] = field(default_factory=dict[str, int])
    """Number of parameters by model id."""
    local_paths: frozenset[str] = frozenset()
    """Those of the texts in script and command that name a file or folder of this machine."""
    local_modules: frozenset[str] = frozenset()
    """Those of the imports that are files of the working folder."""
    earlier: tuple[Earlier, ...] = ()
    user_text: str = ""
    sandboxed: bool = False
    """Local commands run behind a wall, where /tmp is empty and goes with them."""
