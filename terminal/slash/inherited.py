"""The turns that a fork inherited from the threads it was copied from, and how to return to before one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ml_intern.configs.errors import UsageError
from ml_intern.graph import operations as ops
from ml_intern.terminal.views.rewind import RewindTurn

if TYPE_CHECKING:
    from ml_intern.session.protocol import Session, ThreadRow


async def rewind_turns(session: "Session") -> list[RewindTurn]:
    """Return the turns of a session's thread, oldest first: those it inherited, then its own."""
    own = [RewindTurn(turn.number, turn.text, turn.ended) for turn in await session.turns()]
    return [*await _inherited(session, await session.row()), *own]


async def _inherited(session: "Session", row: "ThreadRow | None") -> list[RewindTurn]:
    """Return the turns from before a fork. A deleted thread ends the list."""
    if row is None or not row.parent or row.forked_at is None:
        return []
    try:
        async with session.all_threads().read(row.parent) as parent:
            turns, above = await parent.turns(), await parent.row()
    except UsageError:
        return []
    copied = [RewindTurn(turn.number, turn.text, turn.ended, row.parent) for turn in turns]
    return [*await _inherited(session, above), *(turn for turn in copied if turn.number <= row.forked_at)]


async def operation_before(session: "Session", turns: Sequence[RewindTurn], turn: RewindTurn) -> ops.Operation:
    """Return the operation that continues before an inherited turn: in a copy that ends there, or in a new thread."""
    place = turns.index(turn)
    if place == 0:
        return ops.New()
    before = turns[place - 1]
    return ops.Resume((await session.all_threads().fork(before.thread, before.number)).id)
