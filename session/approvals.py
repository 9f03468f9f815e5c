"""Answers to the calls that wait: whether they fit what was asked, and what "always" leaves behind."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_intern.configs.errors import UsageError
from ml_intern.graph.operations import Decision
from ml_intern.store.permissions import Grant

if TYPE_CHECKING:
    from ml_intern.store.store import Store

Batch = Mapping[str, Any]


def check_answers(batch: Batch | None, decisions: Mapping[str, Decision]) -> Batch:
    """The batch that waits, when the answers are to it. Raises UsageError."""
    if batch is None or not batch["action_requests"]:
        raise UsageError("nothing waits for an approval in this thread", "it was answered, or the turn has ended")
    asked = {request["id"] for request in batch["action_requests"]}
    if unknown := set(decisions) - asked:
        raise UsageError(f"no such request: {', '.join(sorted(unknown))}", f"waiting are {', '.join(sorted(asked))}")
    return batch


async def remember_always(
    store: "Store", batch: Batch, decisions: Mapping[str, Decision], *, folder: str, thread_id: str
) -> None:
    """Store what a yes with "always" allows. What that is was offered with the question, not said in the answer."""
    for request in batch["action_requests"]:
        decision = decisions.get(request["id"], {"type": "reject"})
        grants = [Grant.from_json(one) for one in request.get("always", ())]
        if decision["type"] == "approve" and decision.get("always") and grants:
            await store.permissions.add(folder, thread_id if decision["always"] == "thread" else None, grants)
