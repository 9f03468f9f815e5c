"""The sandbox that this machine offers: bubblewrap, else the basic one."""

from dataclasses import dataclass
from typing import Literal

from ml_intern.sandbox.basic.wrapping import basic_problem
from ml_intern.sandbox.bubblewrap import Kind, sandbox_problem

WEAKNESS = (
    "weaker in: commands can read secrets in the workspace's .env files, share /dev/shm with other programs and see "
    "their command lines; git's settings are restored only when a command ends. There is no /tmp, and no local server"
)


@dataclass(frozen=True)
class AvailableSandbox:
    """The sandbox to use."""

    kind: Kind = "bubblewrap"
    weakness: str = ""
    """Why it is the basic one, and in which respects it is weaker."""
    problem: tuple[str, str] | None = None
    """Why there is none, and a remedy."""


def available_sandbox(wanted: Literal["auto", "bubblewrap", "basic"] = "auto") -> AvailableSandbox:
    """Return the sandbox of the kind that is wanted; `auto` means bubblewrap, else the basic one."""
    problem = sandbox_problem() if wanted != "basic" else ("sandbox.kind is basic", "")
    if problem is None:
        return AvailableSandbox()
    if wanted == "bubblewrap":
        return AvailableSandbox(problem=problem)
    why = f"{problem[0]}: {problem[1]}" if problem[1] else problem[0]
    if (basic := basic_problem()) is None:
        return AvailableSandbox("basic", f"basic sandbox ({why}), {WEAKNESS}")
    return AvailableSandbox(problem=(f"{problem[0]}, and {basic[0]}", problem[1] or basic[1]))
