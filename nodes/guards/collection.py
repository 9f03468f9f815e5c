"""The question whether a Hub collection gathers what a thread publishes. It is asked once per thread."""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_intern.execution.call import ToolCall
from ml_intern.execution.tool import ToolContext
from ml_intern.graph.state import AgentState
from ml_intern.safety.policy import Verdict

_PREFIX = "collection:"
_TEXT = "Gather the repositories that this thread writes to on the Hub in one collection? (asked once per thread)"


def collection_question(
    verdicts: Sequence[tuple[ToolCall, Verdict]], state: AgentState, context: ToolContext
) -> dict[str, Any] | None:
    """Return the question if an open call may publish and the user can be asked and has not answered it."""
    options = context.options
    answered = options.hub_collection is not None or state.get("collection") in ("yes", "no")
    if answered or not options.asks_about_collection:
        return None
    for call, ruling in verdicts:
        if ruling.kind != "deny" and _publishes(call, context):
            return {"id": f"{_PREFIX}{call.message_id}", "text": _TEXT, "kind": "collection"}
    return None


def collection_answer(decisions: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the state update with the answer, if the question was among the requests."""
    found = next((one for id, one in decisions.items() if id.startswith(_PREFIX)), None)
    return {} if found is None else {"collection": "yes" if found["type"] == "approve" else "no"}


def _publishes(call: ToolCall, context: ToolContext) -> bool:
    spec = context.services.tools.get(call.name)
    return spec is not None and spec.publishes is not None and spec.publishes(call.args)
