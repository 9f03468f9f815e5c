"""The graph for a server that runs it itself, as LangGraph's server does: each run locks its thread."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ml_intern.configs.errors import UsageError
from ml_intern.configs.paths import data_home, database_url
from ml_intern.execution.tool import Services
from ml_intern.graph.build import build_graph
from ml_intern.graph.context import RunOptions
from ml_intern.graph.operations import UserInput
from ml_intern.graph.state import is_user_message
from ml_intern.models.secrets import register_secrets
from ml_intern.session.listing import ThreadListing
from ml_intern.session.opening.services import open_services
from ml_intern.session.protocol import GraphHead
from ml_intern.session.ready import notes_on_models
from ml_intern.session.runner import Runner, is_pending, turn_end
from ml_intern.session.thread import LockedThread
from ml_intern.session.turns.turns import COPY
from ml_intern.snapshots.workspace import Snapshots
from ml_intern.store.checkpoints.saver import Saver
from ml_intern.store.store import Store
from ml_intern.tools.compute.remote_tools import remote_tools
from ml_intern.tools.registry import create_builtin_tools

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

    from ml_intern.configs.mcp_servers import McpServer
    from ml_intern.execution.tool import ToolSpec
    from ml_intern.models.routing import Endpoint
    from ml_intern.session.turns.turns import AgentApp

Refusals = Callable[[], AbstractContextManager[None]]
"""Convert an MLInternError of the block to an error that the server sends to its client."""

_LOG = logging.getLogger(__name__)


class NotOpened(Services):
    """Placeholder for the services in the graph that is built before an event loop exists to open them."""

    def __init__(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"{name} is not available: the server has not opened the checkpointer of langgraph.json")


class ServedSaver(Saver):
    """The saver for the server's thread endpoints: deleting removes the whole thread, and copying is refused."""

    def __init__(self, store: Store, refusals: Refusals) -> None:
        super().__init__(store.file_database())
        self._store = store
        self._refusals = refusals

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete a thread with everything that belongs to it. Refused while the thread is in use."""
        with self._refusals():
            if await self._store.threads.get(str(thread_id)) is not None:
                await self._store.delete(str(thread_id))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:  # noqa: ARG002
        """Refuse: in a raw copy, one approval would apply to two threads."""
        with self._refusals():
            raise UsageError("the server cannot copy threads", f"fork it with: ml-intern -r {source_thread_id} --fork")


class LocalRun(LockedThread):
    """A thread that is locked for one run of the server."""

    @classmethod
    async def open(cls, runner: Runner, thread_id: str, changes: Mapping[str, Any]) -> Self:
        """Open a locked thread. Its folder is its own if that still exists.

        Raises:
            ModelUnknown, KeyMissing: its model cannot be called.
            ConfigurationError: a price is unknown and the budget is strict.
        """
        services, turns = runner.services, runner.turns(thread_id)
        options = replace(services.defaults, **changes)
        row = await services.store.threads.get(thread_id)
        if row is not None and row.folder and await asyncio.to_thread(Path(row.folder).is_dir):
            options = replace(options, workspace=row.folder)
        elif row is not None and not row.folder:
            await services.store.threads.update(thread_id, folder=options.workspace)
        await services.models.expect(options)
        files = await asyncio.to_thread(
            Snapshots, services.store.home, Path(options.workspace), _ignore_snapshot_failure
        )
        run = cls(turns, files)
        run.options = options
        return run

    @property
    def recursion_limit(self) -> int:
        """Return LangGraph's limit on the steps of a run."""
        return self._turns.config()["recursion_limit"]

    async def head(self) -> GraphHead:
        """Return the state of the thread."""
        head = await self._turns.snapshot()
        messages = head.values.get("messages", [])
        text = next((message.text for message in reversed(messages) if is_user_message(message)), "")
        return GraphHead(head.config["configurable"].get("checkpoint_id", ""), bool(head.interrupts), text)

    async def begin(self, text: str, checkpoint_id: str = "") -> None:
        """Write a message as the input of a new turn, after an older checkpoint if one is given."""
        if checkpoint_id:
            await self._turns.app.aupdate_state(self._turns.config(checkpoint_id), None, as_node=COPY)
        await self.begin_turn(UserInput(text))
        await self._files.settled()

    async def resume(self) -> None:
        """Prepare to continue the turn."""
        self.resume_snapshot(await self._turns.snapshot())
        await self.continue_snapshots()
        await self._files.settled()

    async def cut_off(self) -> None:
        """Close the open calls of a run that was interrupted."""
        await self._turns.close_open("interrupted by the user")

    async def close(self) -> None:
        """Record the end of the run in the list of threads."""
        await self.end_snapshots()
        await self._files.close()
        snapshot = await self._turns.snapshot()
        await self.list_as("interrupted" if is_pending(snapshot) else turn_end(snapshot).status)


@dataclass(frozen=True)
class LocalGraph:
    """The opened graph, the services that its runs share, and the threads of this machine."""

    runner: Runner

    @property
    def app(self) -> "AgentApp":
        """Return the compiled graph with its checkpointer."""
        return self.runner.app

    @asynccontextmanager
    async def run(self, thread_id: str, changes: Mapping[str, Any]) -> AsyncIterator[LocalRun]:
        """Lock a thread for one run. The open calls of an interrupted run are closed before it is released.

        Raises:
            ThreadLocked: another process or run is using the thread.
            ModelUnknown, KeyMissing: its model cannot be called.
            ConfigurationError: a price is unknown and the budget is strict.
        """
        services = self.runner.services
        async with services.store.hold(thread_id):
            run = await LocalRun.open(self.runner, thread_id, changes)
            await self._wait_for_mcp_servers()
            for note in notes_on_models(run.options, services):
                _LOG.warning(note)
            if thread_id not in services.scopes:  # open until the server ends: an approval splits a turn into two runs
                self.runner.open_scope(thread_id)
            await run.list_running()
            try:
                yield run
            except (asyncio.CancelledError, GeneratorExit):
                await run.cut_off()
                raise
            finally:
                await run.close()

    @asynccontextmanager
    async def change(self, thread_id: str) -> AsyncIterator[None]:
        """Lock an idle thread for a change of its state. Raises ThreadLocked."""
        services = self.runner.services
        async with services.store.hold(thread_id):
            yield
            await ThreadListing(self.runner.turns(thread_id), services.defaults.workspace).change()

    async def _wait_for_mcp_servers(self) -> None:
        """Wait until the MCP servers have started, and log the problems of those that failed."""
        servers = self.runner.services.servers
        if servers is not None and await servers.settled():
            for problem in servers.problems():
                _LOG.warning(problem)


@asynccontextmanager
async def open_served_graph(
    options: RunOptions, endpoint: "Endpoint | None", servers: "Mapping[str, McpServer]", refusals: Refusals
) -> AsyncIterator[LocalGraph]:
    """Open the graph on the database of the command line, and the services of its runs."""
    await asyncio.to_thread(register_secrets)
    builtin = await asyncio.to_thread(_served_tools, options)
    async with (
        await Store.open(data_home(), lambda store: ServedSaver(store, refusals)) as store,
        open_services(store, options, endpoint, servers, builtin) as services,
    ):
        yield LocalGraph(await Runner.create(services))


async def check_models(options: RunOptions, endpoint: "Endpoint | None") -> tuple[str, ...]:
    """Check the models before a server starts, as the start of a session does. Return notes about them.

    Raises the errors of `Models.expect`.
    """
    async with (
        await Store.open(data_home(), url=database_url()) as store,
        open_services(store, options, endpoint, {}, _served_tools(options)) as services,
    ):
        await services.models.expect(options)
        return tuple(notes_on_models(options, services))


def graph_without_services() -> "CompiledStateGraph[Any, Any, Any, Any]":
    """Compile the graph without services and checkpointer, to describe it and to be replaced by the opened one."""
    return build_graph(NotOpened()).compile()


def _served_tools(options: RunOptions) -> "dict[str, ToolSpec]":
    tools = create_builtin_tools()
    del tools["notify"]  # only sessions send notifications, not the runs of a server
    return {**tools, **(remote_tools() if options.tool_runtime == "sandbox" else {})}


def _ignore_snapshot_failure(message: str, remedy: str) -> None:
    """Ignore a failed snapshot here: the undo that needs it reports the reason from the snapshot's record."""
