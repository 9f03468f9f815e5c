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
from ml_intern.safety.error_log import log_error
from ml_intern.server.inputs import StudioChoices, check_not_weaker, given_choices
from ml_intern.server.options import ServedOptions
from ml_intern.server.run import ServedRun
from ml_intern.session.served_graph import graph_without_services, open_served_graph

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

    from ml_intern.graph.context import RunOptions
    from ml_intern.session.protocol import ServedGraph

STDIN = 0
CLIENTS_SECONDS = 3.0
"""How long an interrupted server waits for its clients to disconnect. A second interrupt ends the wait."""


class RunFailed(RuntimeError):
    """The reason a run failed, in one line. The server shows the message of a RuntimeError, not of an MLInternError."""


class Serving:
    """The graph that a server's requests share. `checkpointer` opens and closes it in the server's event loop."""

    def __init__(self) -> None:
        self._graph: ServedGraph | None = None
        self._started: RunOptions | None = None

    @property
    def graph(self) -> "ServedGraph":
        """Return the opened graph. Raises RuntimeError outside of `checkpointer`."""
        if self._graph is None:
            raise RuntimeError("the server has not opened the checkpointer of langgraph.json")
        return self._graph

    @property
    def started(self) -> "RunOptions":
        """Return the options that the server was started with. Raises RuntimeError outside of `checkpointer`."""
        if self._started is None:
            raise RuntimeError("the server has not opened the checkpointer of langgraph.json")
        return self._started

    @asynccontextmanager
    async def checkpointer(self) -> AsyncIterator[BaseCheckpointSaver[Any]]:
        """Open the graph on the database of the command line, and yield its saver."""
        served = await asyncio.to_thread(ServedOptions.read)
        served.restore_environment(os.environ)
        async with open_served_graph(served.run, served.endpoint, served.servers, _as_http) as graph:
            self._graph, self._started = graph, served.run
            if served.attended:
                _end_with_stdin()
            try:
                yield cast(BaseCheckpointSaver[Any], graph.app.checkpointer)
            finally:
                self._graph = self._started = None


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
            app = self.serving.graph.app
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
            changes, thread_id = given_choices(context), str(config["configurable"]["thread_id"])
            check_not_weaker(changes, self.serving.started)
            async with self.serving.graph.run(thread_id, changes) as run:
                start, config = await ServedRun(run, config).begin(input)
                choices = {**choices, "durability": "sync"}
                stream = cast(AsyncGenerator[Any], super().astream(start, config, context=run.options, **choices))
                async with aclosing(stream):
                    async for part in stream:
                        yield part

    async def abulk_update_state(self, config: "RunnableConfig", supersteps: Sequence[Sequence[Any]]) -> Any:
        """Change the state of an idle thread. Raises HTTPException."""
        with _as_http():
            async with self.serving.graph.change(str(config["configurable"]["thread_id"])):
                return await super().abulk_update_state(config, supersteps)

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
    parts: Mapping[str, Any] = vars(graph_without_services())
    return StudioGraph(serving=serving, **{**parts, "context_schema": StudioChoices})


SERVING = Serving()
"""One instance for both imports of server/studio.py: the server loads it for the graph and for the checkpointer."""
