"""The turns of a thread's current branch, read from the checkpoints without their messages."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_intern.store.checkpoints.packing import id_timestamp

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple

    from ml_intern.graph.state import Outcome


@dataclass(frozen=True)
class TurnPoint:
    """The last checkpoint of a turn and its metadata. `time` is in seconds since the epoch, 0.0 when unknown."""

    checkpoint: str
    number: int
    text: str
    """The beginning of the user's message."""
    before: str | None
    """The last checkpoint of the turn before it; "" is the empty thread, None means that the turn cannot be undone."""
    outcome: "Outcome | None"
    """None while the turn is running or waiting for an answer."""
    iterations: int
    time: float


async def turn_points(saver: "BaseCheckpointSaver[Any]", thread_id: str, checkpoint: str = "") -> list[TurnPoint]:
    """Return the turns up to a checkpoint (by default the thread's latest), latest first."""
    found: list[TurnPoint] = []
    before: str | None = checkpoint
    while before is not None and (point := await _point(saver, thread_id, before)):
        found.append(point)
        before = point.before or None
    return found


async def _point(saver: "BaseCheckpointSaver[Any]", thread_id: str, checkpoint: str) -> TurnPoint | None:
    named = {"checkpoint_id": checkpoint} if checkpoint else {}
    held = await saver.aget_tuple({"configurable": {"thread_id": thread_id, "checkpoint_ns": "", **named}})
    if held is None:
        return None
    values: Mapping[str, Any] = held.checkpoint["channel_values"]
    return TurnPoint(
        checkpoint=held.checkpoint["id"],
        number=int(values.get("turn", 0)),
        text=str(values.get("turn_text", "")),
        before=values.get("turn_before"),
        outcome=values.get("outcome"),
        iterations=int(values.get("iteration", 0)),
        time=id_timestamp(_made_at(held)),
    )


def _made_at(held: "CheckpointTuple") -> str:
    """Return the checkpoint id that dates the state. A copy made by undo or redo is dated by its parent."""
    if held.metadata.get("source") == "fork" and held.parent_config:
        return str(held.parent_config["configurable"]["checkpoint_id"])
    return held.checkpoint["id"]
