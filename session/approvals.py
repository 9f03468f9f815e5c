"""Answers to pending approval requests: check them, and save the grants of "always" answers."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from ml_intern.configs.errors import UsageError
from ml_intern.execution.policy_inputs import settings_rules
from ml_intern.graph.operations import Decision, ExecApproval
from ml_intern.session.protocol import PermissionInfo, RuleInfo
from ml_intern.store.permissions import EVERYWHERE, Grant
from ml_intern.text.clients import answered_from

if TYPE_CHECKING:
    from langgraph.types import StateSnapshot

    from ml_intern.store.permissions import PermissionRow
    from ml_intern.store.store import Store

Batch = Mapping[str, Any]


class ApprovalClaim:
    """The client that answers the pending approval. The first answer counts."""

    def __init__(self) -> None:
        self._first = ""

    def take(self, answer: ExecApproval) -> None:
        """Record an answer. Raises UsageError if another client was first."""
        if self._first:
            raise UsageError(f"this approval was already answered {self._first}", "the first answer counts")
        self._first = answered_from(answer.by, answer.device)

    def free(self) -> None:
        """Accept an answer: a new approval is pending, or the answer was refused."""
        self._first = ""


def pending_batch(snapshot: "StateSnapshot") -> Mapping[str, Any] | None:
    """Return the batch of requests that waits for an answer; None if there is none."""
    return cast(Mapping[str, Any], snapshot.interrupts[0].value) if snapshot.interrupts else None


def approval_fields(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `approval_required`."""
    shown = ("id", "name", "args", "description")
    requests = [
        {key: request[key] for key in shown} | {"always": request.get("always", [])}
        for request in batch["action_requests"]
    ]
    return {"requests": requests, "configs": batch["review_configs"], "since": batch["since"]}


def permission_info(permissions: Mapping[str, Any], answers: "Sequence[PermissionRow]" = ()) -> PermissionInfo:
    """Describe the rules of the settings and the stored answers. Raises ConfigurationError for an invalid rule."""
    written = settings_rules(permissions)
    rules = tuple(RuleInfo(rule.effect, rule.description, rule.why) for rule in written.rules)
    return PermissionInfo(rules, tuple(written.warnings), tuple(answers))


def check_answers(batch: Batch | None, decisions: Mapping[str, Decision]) -> Batch:
    """Return the pending batch if the answers belong to it. Raises UsageError."""
    if batch is None or not batch["action_requests"]:
        raise UsageError(
            "no approval is pending in this thread", "it was answered already, or the turn has ended; send a message"
        )
    asked = {request["id"] for request in batch["action_requests"]}
    if unknown := set(decisions) - asked:
        raise UsageError(f"no such request: {', '.join(sorted(unknown))}", f"pending: {', '.join(sorted(asked))}")
    return batch


async def accept_answers(
    store: "Store", batch: Batch | None, decisions: Mapping[str, Decision], *, folder: str, thread_id: str
) -> dict[str, str]:
    """Check the answers, save the grants of "always" answers, and return the kind of each answer. Raises UsageError."""
    checked = check_answers(batch, decisions)
    await remember_always(store, checked, decisions, folder=folder, thread_id=thread_id)
    return {id: decision["type"] for id, decision in decisions.items()}


async def remember_always(
    store: "Store", batch: Batch, decisions: Mapping[str, Decision], *, folder: str, thread_id: str
) -> None:
    """Save the grants of "always" answers. They come from the pending request, never from the answer."""
    for request in batch["action_requests"]:
        decision = decisions.get(request["id"], {"type": "reject"})
        grants = [Grant.from_json(one) for one in request.get("always", ())]
        if decision["type"] == "approve" and decision.get("always") and grants:
            place = EVERYWHERE if decision["always"] == "everywhere" else folder
            await store.permissions.add(place, thread_id if decision["always"] == "thread" else None, grants)
