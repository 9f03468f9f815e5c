"""A thread's row in the list of threads, a cache of its checkpoints and of the ledger; and the start of a turn."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Unpack

from ml_intern.graph.context import RunOptions
from ml_intern.graph.operations import UserInput
from ml_intern.safety.secrets.redaction import redact
from ml_intern.session.turns.turns import Turns

if TYPE_CHECKING:
    from ml_intern.store.threads import ThreadChanges, ThreadRow, ThreadState

TITLE_LENGTH = 60
STATES: "dict[str, ThreadState]" = {"waiting": "waiting", "interrupted": "interrupted"}
"""The state of a thread whose turn ended so; after any other end it is idle."""


@dataclass(frozen=True)
class ThreadListing:
    """The row of a thread this process holds."""

    turns: Turns
    folder: str
    """The workspace, for a thread that has no row yet."""

    async def change(self, **changes: "Unpack[ThreadChanges]") -> "ThreadRow":
        """Change the row, making it first where there is none."""
        id, threads = self.turns.thread_id, self.turns.services.store.threads
        if await threads.get(id) is None:
            await threads.create(id=id, folder=self.folder)
        return await threads.update(id, **changes)

    async def renew(self, state: "ThreadState") -> None:
        """Write what the checkpoints and the ledger say; a thread without a title gets its first words."""
        values = (await self.turns.snapshot()).values
        row = await self.change(
            state=state,
            turns=int(values.get("turn", 0)),
            cost_usd=(await self.turns.services.store.ledger.total(self.turns.thread_id)).cost_usd,
        )
        if not row.title and (text := str(values.get("turn_text", ""))):
            await self.change(title=title_of(text))

    async def correct(self) -> None:
        """Renew the row of a thread that is at rest and listed as if it were not: a process died before it wrote so."""
        row = await self.turns.services.store.threads.get(self.turns.thread_id)
        if row is not None and row.state in ("running", "waiting"):
            await self.renew("idle")

    async def begin_turn(
        self,
        message: UserInput,
        options: RunOptions,
        files: str = "",
        state: "ThreadState" = "running",
        on_disk: Callable[[int], None] | None = None,
    ) -> int:
        """Write a message as the input of a new turn, secrets replaced, and return the turn's number.

        `files` names the snapshot of the workspace as it is now. `on_disk` is called with the number as soon as the
        message is saved, before the listing is updated, which may fail.
        """
        typed = None if message.typed is None else redact(message.typed)
        message = replace(message, text=redact(message.text), typed=typed)
        row = await self.change(state=state)
        number = await self.turns.begin(message, options, files)
        if on_disk is not None:
            on_disk(number)
        title = row.title or title_of(message.text)
        await self.change(title=title, folder=self.folder, turns=number, redo=())
        return number


def title_of(text: str) -> str:
    """A thread's name, from the words it begins with."""
    return " ".join(text.split())[:TITLE_LENGTH]
