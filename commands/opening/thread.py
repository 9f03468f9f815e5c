"""Opens one thread for what needs no model and no key: read as it stands, or held to be moved."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ml_intern.commands.opening.store import open_store
from ml_intern.models.secrets import register_secrets

if TYPE_CHECKING:
    from ml_intern.session.turns.turns import Turns
    from ml_intern.store.store import Store
    from ml_intern.store.threads import ThreadRow


@dataclass(frozen=True)
class OpenThread:
    """A thread, its row as it was found, and the operations on its turns."""

    store: "Store"
    row: "ThreadRow"
    turns: "Turns"


@asynccontextmanager
async def read_thread(text: str) -> AsyncIterator[OpenThread]:
    """The thread a user means, whoever holds it. Raises what the store raises, UsageError when there is none."""
    register_secrets()
    async with open_store() as store:
        row = await store.threads.find(text)
        yield OpenThread(store, row, await turns_of(store, row.id, row.folder))


@asynccontextmanager
async def held_thread(text: str) -> AsyncIterator[OpenThread]:
    """The thread a user means, held by this process. Raises what `read_thread` does, and ThreadLocked."""
    async with read_thread(text) as found, found.store.hold(found.row.id):
        yield replace(found, row=await found.store.threads.find(found.row.id))


async def turns_of(store: "Store", thread_id: str, folder: str) -> "Turns":
    """The operations on the turns of a thread: the real graph and tools, and no model."""
    from ml_intern.execution.tool import Services
    from ml_intern.graph.context import RunOptions
    from ml_intern.models.gateway import Models
    from ml_intern.session.runner import Runner
    from ml_intern.session.turns.turns import Turns
    from ml_intern.tools.registry import create_builtin_tools

    options = RunOptions(model="", workspace=folder or str(Path.cwd()))
    services = Services(Models(store.ledger), create_builtin_tools(), store, options)
    return Turns((await Runner.create(services)).app, services, thread_id)
