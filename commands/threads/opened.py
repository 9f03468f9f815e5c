"""Access to the user's threads for commands. Problems are reported on stderr."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ml_intern.commands.failure import say

if TYPE_CHECKING:
    from ml_intern.outbound.conversation import Conversation
    from ml_intern.session.protocol import Threads


@asynccontextmanager
async def threads_of_user() -> AsyncIterator["Threads"]:
    """Open the threads of this machine, or of the server that --server names."""
    from ml_intern.session import threads as opening

    async with opening.threads_of_user(warn) as threads:
        yield threads


async def conversation_of(text: str) -> "Conversation":
    """Return the conversation of the thread with this id, unique prefix or title. Raises UsageError."""
    async with threads_of_user() as threads, threads.read(text) as thread:
        return await thread.conversation()


def warn(message: str, remedy: str) -> None:
    """Write a problem to stderr."""
    say(f"{message} ({remedy})" if remedy else message, 0)
