"""What a long thread can do without: checkpoints that no undo, redo or resume can go to, nor needs on its way there.

The conversation at a checkpoint is built from the nearest one before it that holds it whole, and all writes since.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from langgraph.channels import DeltaChannel

from ml_intern.session.turns.points import turn_points
from ml_intern.store.checkpoints import prune
from ml_intern.store.checkpoints.rows import CheckpointRef

if TYPE_CHECKING:
    from ml_intern.session.turns.turns import Turns

CONVERSATION = "messages"
"""The one channel that is too large to be written out once more for a thread's thinning."""


@dataclass(frozen=True)
class Thinning:
    """What may go of a thread's checkpoints."""

    checkpoint_refs: Mapping[str, CheckpointRef]
    keep: frozenset[str]
    completed: tuple[CheckpointRef, ...]
    """Checkpoints that hold the conversation whole and have to hold the other such values too, before others go."""
    freed: int
    """Bytes, roughly."""


async def plan_thinning(turns: "Turns", redo: Sequence[str]) -> Thinning:
    """What may go of a thread that nobody changes meanwhile. `redo` are the checkpoints its row names."""
    database = turns.services.store.database
    checkpoint_refs = await prune.checkpoint_refs(database, turns.thread_id)
    keep: set[str] = set()
    completed: dict[str, CheckpointRef] = {}
    for target in await _targets(turns, redo):
        for link in prune.lineage_of(checkpoint_refs, target):
            if link.id in keep:
                break
            keep.add(link.id)
            if CONVERSATION in link.channels:
                completed[link.id] = link
                break
    freed = await prune.prunable_bytes(database, turns.thread_id, keep)
    others = _deltas(turns) - {CONVERSATION}
    incomplete = tuple(link for link in completed.values() if others - link.channels)
    return Thinning(checkpoint_refs, frozenset(keep), incomplete, freed)


async def thin(turns: "Turns", plan: Thinning) -> None:
    """Carry the plan out. Whenever this is cut off, every checkpoint that is there can be gone to."""
    for link in plan.completed:
        await _complete(turns, link)
    await prune.delete_other_checkpoints(
        turns.services.store.database, turns.thread_id, plan.checkpoint_refs, plan.keep
    )


async def _targets(turns: "Turns", redo: Sequence[str]) -> list[str]:
    """Every checkpoint that resume, undo and redo can go to."""
    saver = await turns.services.store.saver()
    tips = ["", *redo]
    return [point.checkpoint for tip in tips for point in await turn_points(saver, turns.thread_id, tip)]


def _deltas(turns: "Turns") -> set[str]:
    return {name for name, channel in turns.app.channels.items() if isinstance(channel, DeltaChannel)}


async def _complete(turns: "Turns", link: CheckpointRef) -> None:
    """Write the values of all channels into a checkpoint that is rebuilt in part from those before it."""
    saver = await turns.services.store.saver()
    found = await saver.aget_tuple(turns.config(link.id))
    if found is None:
        return
    values = (await turns.snapshot(link.id)).values
    whole = {name: values.get(name, []) for name in _deltas(turns) if name not in found.checkpoint["channel_values"]}
    checkpoint = {**found.checkpoint, "channel_values": {**found.checkpoint["channel_values"], **whole}}
    parent = found.parent_config or {"configurable": {"thread_id": turns.thread_id, "checkpoint_ns": ""}}
    await saver.aput(parent, cast(Any, checkpoint), found.metadata, {})
