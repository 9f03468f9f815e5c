"""The graph for LangGraph's server: every run locks its thread, and checkpoints go to the thread database."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Self, cast

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph.state import CompiledStateGraph
from starlette.exceptions import HTTPException

from ml_intern.configs.errors import MLInternError, ThreadLocked, UsageError
from ml_intern.configs.paths import data_home
from ml_intern.execution.tool import Services
from ml_intern.graph.build import build_graph
from ml_intern.models.gateway import Models
from ml_intern.models.secrets import register_secrets
from ml_intern.runs.backends.hub_sandbox import sandboxes_of
from ml_intern.safety.error_log import log_error
from ml_intern.server.inputs import StudioChoices
from ml_intern.server.options import ServedOptions
from ml_intern.server.run import served_run
from ml_intern.session.listing import ThreadListing
from ml_intern.session.runner import Runner
from ml_intern.store.checkpoints.saver import Saver
from ml_intern.store.store import Store
from ml_intern.tools.compute.remote_tools import remote_tools
from ml_intern.tools.mcp.servers import open_servers
from ml_intern.tools.registry import create_builtin_tools

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig


STDIN = 0
CLIENTS_SECONDS = 3.0
"""How long an interrupted server waits for its clients to disconnect. A second interrupt ends the wait."""


class RunFailed(RuntimeError):
    """The reason a run failed, in one line. The server shows the message of a RuntimeError, not of an MLInternError."""


class NotOpened(Services):
    """Placeholder for the services in the graph that is built before an event loop exists to open them."""

    def __init__(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"{name} is not available: the server has not opened the checkpointer of langgraph.json")


class ServedSaver(Saver):
    """The saver for the server's thread endpoints: deleting removes the whole thread, and copying is refused."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.database)
        self._store = store

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete a thread with everything that belongs to it. Raises HTTPException while the thread is in use."""
        with _as_http():
            if await self._store.threads.get(str(thread_id)) is not None:
                await self._store.delete(str(thread_id))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:  # noqa: ARG002
        """Refuse with HTTPException: in a raw copy, one approval would apply to two threads."""
        with _as_http():
            raise UsageError("the server cannot copy threads", f"fork it with: ml-intern -r {source_thread_id} --fork")


class Serving:
    """The services that a server's runs share. `checkpointer` opens and closes them in the server's event loop."""

    def __init__(self) -> None:
        self._runner: Runner | None = None

    @property
    def runner(self) -> Runner:
        """Return the opened graph with its saver. Raises RuntimeError outside of `checkpointer`."""
        if self._runner is None:
            raise RuntimeError("the server has not opened the checkpointer of langgraph.json")
        return self._runner

    @asynccontextmanager
    async def checkpointer(self) -> AsyncIterator[BaseCheckpointSaver[Any]]:
        """Open the saver on the database of the command line, and the services of the runs."""
        served = await asyncio.to_thread(ServedOptions.read)
        served.restore_environment(os.environ)
        await asyncio.to_thread(register_secrets)
        builtin = await asyncio.to_thread(create_builtin_tools)
        del builtin["notify"]  # only sessions send notifications, not the runs of a server
        if served.run.tool_runtime == "sandbox":
            builtin |= remote_tools()
        async with (
            await Store.open(data_home(), ServedSaver) as store,
            open_servers(served.servers, store.home, builtin) as (servers, tools),
        ):
            models = Models(store.ledger, served.endpoint)
            self._runner = await Runner.create(Services(models, tools, store, served.run, servers))
            if served.attended:
                _end_with_stdin()
            try:
                yield await store.saver()
            finally:
                self._runner = None
                await sandboxes_of(store).close()
                await models.close()


class StudioGraph(CompiledStateGraph[Any, Any, Any, Any]):
    """The compiled graph. It locks the thread for each run and each change of its state."""

    def __init__(self, *, serving: Serving, **parts: Any) -> None:
        super().__init__(**parts)
        self.serving = serving

    def copy(self, update: dict[str, Any] | None = None) -> Self:
        """Copy the graph for one request, with the nodes and the saver of the opened graph.

        The server wraps the saver in an adapter that counts versions differently and hides how histories are read.
        """
        update = dict(update or {})
        if update.get("checkpointer") is not None:
            app = self.serving.runner.app
            update |= {"checkpointer": app.checkpointer, "nodes": app.nodes}
        return super().copy(update)

    def get_input_jsonschema(self, config: "RunnableConfig | None" = None) -> dict[str, Any]:
        """Return the schema of Studio's input form: messages, and no other part of the state."""
        schema = super().get_input_jsonschema(config)
        return {**schema, "properties": {"messages": schema["properties"]["messages"]}, "required": ["messages"]}

    async def astream(
        self, input: Any, config: "RunnableConfig | None" = None, *, context: Any = None, **choices: Any
    ) -> AsyncGenerator[Any]:
        """Run on the thread of `config`, holding its lock until the run ends. Raises RunFailed."""
        with self._as_failed_run(config):
            if config is None or self.checkpointer is None:
                raise UsageError("a run needs a thread", "create a thread first")
            async with served_run(self.serving.runner, config, context) as run:
                start, config = await run.begin(input)
                choices = {**choices, "durability": "sync"}
                stream = cast(AsyncGenerator[Any], super().astream(start, config, context=run.options, **choices))
                async with aclosing(stream):
                    async for part in stream:
                        yield part

    async def abulk_update_state(self, config: "RunnableConfig", supersteps: Sequence[Sequence[Any]]) -> Any:
        """Change the state of an idle thread. Raises HTTPException."""
        services = self.serving.runner.services
        turns = self.serving.runner.turns(str(config["configurable"]["thread_id"]))
        with _as_http():
            async with services.store.hold(turns.thread_id):
                changed = await super().abulk_update_state(config, supersteps)
                await ThreadListing(turns, services.defaults.workspace).change()
                return changed

    @contextmanager
    def _as_failed_run(self, config: "RunnableConfig | None") -> Iterator[None]:
        try:
            yield
        except MLInternError as error:
            raise RunFailed(str(error)) from error
        except Exception as error:
            thread_id = str((config or {}).get("configurable", {}).get("thread_id", "(none)"))
            raise RunFailed(str(log_error(data_home(), thread_id, error))) from error


@contextmanager
def _as_http() -> Iterator[None]:
    """Convert an MLInternError to an HTTPException, which the server sends to the client."""
    try:
        yield
    except MLInternError as error:
        raise HTTPException(409 if isinstance(error, ThreadLocked) else 422, str(error)) from error


def _end_with_stdin() -> None:
    """Interrupt the server when the other end of its stdin is closed. Nothing is ever written to it."""
    loop = asyncio.get_running_loop()

    def end() -> None:
        loop.remove_reader(STDIN)
        os.kill(os.getpid(), signal.SIGINT)
        loop.call_later(CLIENTS_SECONDS, os.kill, os.getpid(), signal.SIGINT)

    loop.add_reader(STDIN, end)


def studio_graph(serving: Serving) -> StudioGraph:
    """Build the graph without services and checkpointer; `copy` binds them for each request."""
    parts: Mapping[str, Any] = vars(build_graph(NotOpened()).compile())
    return StudioGraph(serving=serving, **{**parts, "context_schema": StudioChoices})


SERVING = Serving()
"""One instance for both imports of server/studio.py: the server loads it for the graph and for the checkpointer."""
