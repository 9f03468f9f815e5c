"""The graph as LangGraph's server runs it: every run holds its thread, and the saver is the thread database's own."""

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
"""How long an interrupted server may wait for its clients to go; a second interrupt ends the wait."""


class RunFailed(RuntimeError):
    """Why a run failed, in one line. The server passes on the words of RuntimeError, but not those of ours."""


class NotOpened(Services):
    """Stands for the services in the graph's outline, which is made before there is an event loop to open them in."""

    def __init__(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"the server has not opened the checkpointer that langgraph.json names ({name})")


class ServedSaver(Saver):
    """The saver as the server may use it besides running the graph: a thread goes whole, and is not copied raw."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.database)
        self._store = store

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete a thread with all that belongs to it. HTTPException while somebody runs it."""
        with _as_http():
            if await self._store.threads.get(str(thread_id)) is not None:
                await self._store.delete(str(thread_id))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:  # noqa: ARG002
        """Raises HTTPException: a raw copy would let an approval count in two threads."""
        with _as_http():
            raise UsageError("a thread is not copied here", f"fork it: ml-intern -r {source_thread_id} --fork")


class Serving:
    """What the runs of a server share. `checkpointer` opens it in the server's event loop and closes it."""

    def __init__(self) -> None:
        self._runner: Runner | None = None

    @property
    def runner(self) -> Runner:
        """The graph on its own saver. Raises RuntimeError outside of `checkpointer`."""
        if self._runner is None:
            raise RuntimeError("the server has not opened the checkpointer that langgraph.json names")
        return self._runner

    @asynccontextmanager
    async def checkpointer(self) -> AsyncIterator[BaseCheckpointSaver[Any]]:
        """The saver on the file that the command line uses."""
        served = await asyncio.to_thread(ServedOptions.read)
        served.give_back(os.environ)
        await asyncio.to_thread(register_secrets)
        builtin = await asyncio.to_thread(create_builtin_tools)
        del builtin["notify"]  # a session's: nobody is told of the runs of a server
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
    """The compiled graph, each run and each change of its state under the lock of its thread."""

    def __init__(self, *, serving: Serving, **parts: Any) -> None:
        super().__init__(**parts)
        self.serving = serving

    def copy(self, update: dict[str, Any] | None = None) -> Self:
        """A copy as the server makes one for each request, with the nodes and the saver of the opened graph.

        The server wraps the saver in an adapter that counts versions differently and hides how histories are read.
        """
        update = dict(update or {})
        if update.get("checkpointer") is not None:
            app = self.serving.runner.app
            update |= {"checkpointer": app.checkpointer, "nodes": app.nodes}
        return super().copy(update)

    def get_input_jsonschema(self, config: "RunnableConfig | None" = None) -> dict[str, Any]:
        """What Studio offers to fill in: messages, and no other part of the state."""
        schema = super().get_input_jsonschema(config)
        return {**schema, "properties": {"messages": schema["properties"]["messages"]}, "required": ["messages"]}

    async def astream(
        self, input: Any, config: "RunnableConfig | None" = None, *, context: Any = None, **choices: Any
    ) -> AsyncGenerator[Any]:
        """Run on the thread of `config`, which is held until the run ends. Raises RunFailed."""
        with self._as_failed_run(config):
            if config is None or self.checkpointer is None:
                raise UsageError("a run needs a thread", "create one first")
            async with served_run(self.serving.runner, config, context) as run:
                start, config = await run.begin(input)
                choices = {**choices, "durability": "sync"}
                stream = cast(AsyncGenerator[Any], super().astream(start, config, context=run.options, **choices))
                async with aclosing(stream):
                    async for part in stream:
                        yield part

    async def abulk_update_state(self, config: "RunnableConfig", supersteps: Sequence[Sequence[Any]]) -> Any:
        """Change the state of a thread that nobody runs. Raises HTTPException."""
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
    """Failures as answers that the server passes on."""
    try:
        yield
    except MLInternError as error:
        raise HTTPException(409 if isinstance(error, ThreadLocked) else 422, str(error)) from error


def _end_with_stdin() -> None:
    """Interrupt the server when its stdin, to which nobody ever writes, is closed at the other end."""
    loop = asyncio.get_running_loop()

    def end() -> None:
        loop.remove_reader(STDIN)
        os.kill(os.getpid(), signal.SIGINT)
        loop.call_later(CLIENTS_SECONDS, os.kill, os.getpid(), signal.SIGINT)

    loop.add_reader(STDIN, end)


def studio_graph(serving: Serving) -> StudioGraph:
    """The outline of the graph, without services and checkpointer: `copy` binds them for a request."""
    parts: Mapping[str, Any] = vars(build_graph(NotOpened()).compile())
    return StudioGraph(serving=serving, **{**parts, "context_schema": StudioChoices})


SERVING = Serving()
"""Here, since the server loads server/studio.py once for the graph and once more for the checkpointer."""
