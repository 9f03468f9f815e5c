"""The questions of an approval as permissions of the editor, and its answers as decisions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acp.schema import AllowedOutcome, DeniedOutcome, PermissionOption, ToolCallUpdate

from ml_intern.graph.operations import Decision
from ml_intern.server.acp.calls import change_of, kind_of, locations_of, text_content, title_of

QUESTION = "question"
"""The name of a request that is about the turn and not about a call."""
ALLOW, REJECT = "allow", "reject"
SCOPES = {"thread": "Always in this thread", "folder": "Always in this folder"}
DECISIONS: Mapping[str, Decision] = {
    ALLOW: {"type": "approve"},
    "thread": {"type": "approve", "always": "thread"},
    "folder": {"type": "approve", "always": "folder"},
}
"""The decisions by answer; all others reject."""
Request = Mapping[str, Any]


def options_of(request: Request) -> list[PermissionOption]:
    """Return the answers that a request offers."""
    is_question = request["name"] == QUESTION
    always = [
        PermissionOption(option_id=scope, name=name, kind="allow_always")
        for scope, name in SCOPES.items()
        if request.get("always")
    ]
    yes, no = ("Yes", "No") if is_question else ("Allow once", "Reject")
    return [
        PermissionOption(option_id=ALLOW, name=yes, kind="allow_once"),
        *always,
        PermissionOption(option_id=REJECT, name=no, kind="reject_once"),
    ]


def asked_call(request: Request, workspace: Path) -> ToolCallUpdate:
    """Return the call of a request, with its diff and the reason for the question."""
    name, args, why = request["name"], request["args"], str(request["description"])
    if name == QUESTION:
        return ToolCallUpdate(tool_call_id=request["id"], title=why, kind="other", status="pending")
    return ToolCallUpdate(
        tool_call_id=request["id"],
        title=title_of(name, args),
        kind=kind_of(name),
        status="pending",
        content=[*change_of(name, args, workspace), *text_content(why)],
        locations=locations_of(args, workspace),
        raw_input=dict(args),
    )


def decision_of(outcome: AllowedOutcome | DeniedOutcome) -> Decision | None:
    """Return the decision of an answer; None if the turn is cancelled. An unknown answer is a rejection."""
    if isinstance(outcome, DeniedOutcome):
        return None
    return DECISIONS.get(outcome.option_id, {"type": "reject"})
