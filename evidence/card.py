"""The whole evidence of a thread as plain data: answers with their claims, locks, what ran, and what is incomplete."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_intern.evidence.locks import changed_locks
from ml_intern.evidence.observations import Execution, Observations, observe
from ml_intern.execution.tool import ToolContext
from ml_intern.store.evidence.table import EvidenceRow


async def evidence_card(context: ToolContext) -> dict[str, Any]:
    """Return the evidence card of a thread."""
    seen = await observe(context)
    verdicts = await context.store.evidence.list(context.thread_id, "verdict")
    present = {message.id for message in context.messages}
    return {
        "thread_id": context.thread_id,
        "answers": [_answer(row, undone=row.ref not in present) for row in verdicts],
        "locks": [_lock(row, seen) for row in seen.locks],
        "runs": [_run(one, seen) for one in seen.programs],
        "incomplete": _incomplete(seen, verdicts),
    }


def _answer(row: EvidenceRow, *, undone: bool) -> dict[str, Any]:
    return {"message_id": row.ref, "checked": row.created, "undone": undone, "evidence": dict(row.body)}


def _lock(row: EvidenceRow, seen: Observations) -> dict[str, Any]:
    locked, watched = changed_locks([row], seen.workspace)
    kind = "locked" if row.body["kind"] == "lock" else "watched"
    return {"path": seen.short(row.ref), "kind": kind, "changed": "".join([*locked, *watched])}


def _run(run: Execution, seen: Observations) -> dict[str, Any]:
    return {
        "name": run.name,
        "command": run.command,
        "state": run.state,
        "reason": run.reason,
        "seconds": run.seconds,
        "programs": None if run.started is None else list(run.started),
        "hints": list(run.hints),
        "read": [seen.short(path) for path in sorted(run.opened) if path not in run.written],
        "written": [seen.short(path) for path in run.written if Path(path).exists()],
        "incomplete": run.missed,
    }


def _incomplete(seen: Observations, verdicts: Sequence[EvidenceRow]) -> list[str]:
    runs = [f"{run.name}: {run.missed}" for run in seen.programs if run.missed]
    latest: Mapping[str, Any] = verdicts[-1].body if verdicts else {"incomplete": []}
    return list(dict.fromkeys([*runs, *latest["incomplete"]]))
