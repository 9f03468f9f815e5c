"""The verdict on a call: allow, ask or deny, with the reason. Pure: the caller gathers the facts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from graph.context import ApprovalMode

VerdictKind = Literal["allow", "ask", "deny"]

PLAN_TOOL = "plan"


@dataclass(frozen=True)
class CallFacts:
    """What the caller knows about a call before it runs."""

    mode: ApprovalMode = "ask"
    read_only: bool = False
    """The tool's own word that it changes nothing."""
    child: bool = False
    """The caller is a sub-agent, which has nobody to ask."""
    sandboxed: bool = False
    """Local commands run inside the OS sandbox."""
    taint: tuple[str, ...] = ()
    """Outside sources whose text is in the context."""
    workspace: str = ""
    """Absolute, resolved path of the working folder."""
    home: str = ""
    """Absolute, resolved path of the user's home folder."""
    paths: tuple[str, ...] = ()
    """Absolute, resolved paths the call touches."""


@dataclass(frozen=True)
class Verdict:
    """What is to happen with a call, and why: one clause a person and a model can read."""

    kind: VerdictKind
    why: str


def verdict(tool: str, args: Mapping[str, object], facts: CallFacts) -> Verdict:  # noqa: ARG001
    """Decide about the call of `tool` with `args`. A sub-agent's `ask` is a `deny` that says so."""
    decided = _by_mode(tool, facts)
    if decided.kind == "ask" and facts.child:
        return Verdict("deny", f"{decided.why}; a sub-agent has nobody to ask")
    return decided


def _by_mode(tool: str, facts: CallFacts) -> Verdict:
    if facts.read_only:
        return Verdict("allow", f"{tool} only reads")
    if facts.mode == "plan":
        return _in_plan_mode(tool)
    if facts.mode == "ask" and tool != PLAN_TOOL:
        return Verdict("ask", f"{tool} can change things")
    return Verdict("allow", f"mode {facts.mode}")


def _in_plan_mode(tool: str) -> Verdict:
    if tool == PLAN_TOOL:
        return Verdict("allow", "planning is what this mode is for")
    return Verdict("deny", f"{tool} can change things; plan mode only reads until the plan is accepted")
