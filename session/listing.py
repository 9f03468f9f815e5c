"""The row of a thread in the list of threads, which caches its checkpoints and ledger; and the start of a turn."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Unpack

from ml_intern.graph.context import RunOptions
from ml_intern.graph.operations import UserInput
from ml_intern.safety.secrets.redaction import redact
from ml_intern.session.turns.turns import Turns

if TYPE_CHECKING:
    from ml_intern.store.threads import ThreadChanges, ThreadRow, ThreadState

TITLE_LENGTH = 60
STATES: "dict[str, ThreadState]" = {"waiting": "waiting", "interrupted": "interrupted"}
"""The thread's state by the status of its last turn; idle for any other status."""


@dataclass(frozen=True)
class ThreadListing:
    """The row of a thread that this process has locked."""

    turns: Turns
    folder: str
    """The workspace, for a thread that has no row yet."""

    async def change(self, **changes: "Unpack[ThreadChanges]") -> "ThreadRow":
        """Change the row. Create it first if it does not exist."""
        id, threads = self.turns.thread_id, self.turns.services.store.threads
        if await threads.get(id) is None:
            await threads.create(id=id, folder=self.folder)
        return await threads.update(id, **changes)

    async def renew(self, state: "ThreadState") -> None:
        """Update the row from the checkpoints. A thread without a title is named after its message."""
        values = (await self.turns.snapshot()).values
        row = await self.change(
            state=state,
            turns=int(values.get("turn", 0)),
        )
        if not row.title and (text := str(values.get("turn_text", ""))):
            await self.change(title=title_of(text))

    async def correct(self) -> None:
        """Mark an idle thread as idle if a process that died left it marked as running or waiting."""
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
        """Write a message as the input of a new turn, with secrets redacted, and return the turn's number.

        `files` is the name of the current snapshot of the workspace. `on_disk` is called with the number as soon as
        the message is saved, before the list of threads is updated, which may fail.
        """
        typed = None if message.typed is None else redact(message.typed)
        message = replace(message, text=redact(message.text), typed=typed)
        row = await self.change(state=state)
        number = await self.turns.begin(message, options, files)
        if on_disk is not None:
            on_disk(number)
        title = row.title or title_of(message.typed or message.text)
        await self.change(title=title, folder=self.folder, turns=number, redo=())
        await self.save(options.given)
        return number

    async def save(self, options: Mapping[str, Any]) -> None:
        """Save the options that the thread continues with. A thread without a message is not saved."""
        await self.turns.services.store.threads.save_options(self.turns.thread_id, options)


def title_of(text: str) -> str:
    """Return the title of a thread that begins with this text."""
    return " ".join(text.split())[:TITLE_LENGTH]
