"""Remove the checkpoints that no undo, redo or resume needs.

LangGraph rebuilds a conversation from the nearest earlier checkpoint with the full conversation and the later writes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from langgraph.channels import DeltaChannel

from ml_intern.session.turns.points import turn_points
from ml_intern.store.checkpoints.rows import CheckpointRef
from ml_intern.store.checkpoints.tables import lineage_of

if TYPE_CHECKING:
    from ml_intern.session.turns.turns import Turns

CONVERSATION = "messages"
"""The channel that is too large to be written again when a thread is thinned."""


@dataclass(frozen=True)
class Thinning:
    """The checkpoints of a thread that can be removed."""

    checkpoint_refs: Mapping[str, CheckpointRef]
    keep: frozenset[str]
    completed: tuple[CheckpointRef, ...]
    """Checkpoints with the full conversation that need full values of the other channels before the removal."""
    freed: int
    """Approximate number of bytes."""


async def plan_thinning(turns: "Turns", redo: Sequence[str]) -> Thinning:
    """Plan the thinning of an idle thread. `redo` are the redo targets in its row."""
    tables = turns.services.store.checkpoints
    checkpoint_refs = await tables.all_of(turns.thread_id)
    keep: set[str] = set()
    completed: dict[str, CheckpointRef] = {}
    for target in await _targets(turns, redo):
        for link in lineage_of(checkpoint_refs, target):
            if link.id in keep:
                break
            keep.add(link.id)
            if CONVERSATION in link.channels:
                completed[link.id] = link
                break
    freed = await tables.bytes_without(turns.thread_id, keep)
    others = _deltas(turns) - {CONVERSATION}
    incomplete = tuple(link for link in completed.values() if others - link.channels)
    return Thinning(checkpoint_refs, frozenset(keep), incomplete, freed)


async def thin(turns: "Turns", plan: Thinning) -> None:
    """Carry out the plan. After an interruption, every remaining checkpoint can still be restored."""
    for link in plan.completed:
        await _complete(turns, link)
    await turns.services.store.checkpoints.delete_others(turns.thread_id, plan.checkpoint_refs, plan.keep)


async def _targets(turns: "Turns", redo: Sequence[str]) -> list[str]:
    """Return every checkpoint that resume, undo and redo can restore."""
    saver = await turns.services.store.saver()
    heads = ["", *redo]
    return [point.checkpoint for head in heads for point in await turn_points(saver, turns.thread_id, head)]


def _deltas(turns: "Turns") -> set[str]:
    return {name for name, channel in turns.app.channels.items() if isinstance(channel, DeltaChannel)}


async def _complete(turns: "Turns", link: CheckpointRef) -> None:
    """Write the full values of all channels into a checkpoint that depends on earlier ones."""
    saver = await turns.services.store.saver()
    found = await saver.aget_tuple(turns.config(link.id))
    if found is None:
        return
    values = (await turns.snapshot(link.id)).values
    whole = {name: values[name] for name in _deltas(turns) & values.keys() - found.checkpoint["channel_values"].keys()}
    checkpoint = {**found.checkpoint, "channel_values": {**found.checkpoint["channel_values"], **whole}}
    parent = found.parent_config or {"configurable": {"thread_id": turns.thread_id, "checkpoint_ns": ""}}
    await saver.aput(parent, cast(Any, checkpoint), found.metadata, {})
