"""`studio`: run LangGraph's local server on the user's threads, for LangGraph Studio and its SDK."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from ml_intern.commands.failure import say
from ml_intern.commands.options import MODEL_OPTIONS, SETTINGS_OPTIONS, Options, takes_options
from ml_intern.commands.output import print_lines
from ml_intern.commands.serving.signals import first_signal
from ml_intern.configs.errors import ConfigurationError, KeyMissing
from ml_intern.configs.layers import FRONTEND, Loaded, load
from ml_intern.configs.schema import Json
from ml_intern.configs.version import install_hint
from ml_intern.server.options import OVERWRITTEN, ServedOptions
from ml_intern.server.studio_process import GRAPH, Server, free_port, server_folder
from ml_intern.session.opening.model import endpoint_of
from ml_intern.session.opening.options import as_run_options, working_folder
from ml_intern.session.opening.store import open_store

if TYPE_CHECKING:
    from httpx import AsyncClient

    from ml_intern.store.store import Store

PAGE = "https://smith.langchain.com/studio/"
MODEL_VARIABLE = "ML_INTERN_DEFAULT_MODEL_ID"
SYNC_SECONDS = 2.0
MAX_THREADS = 500

Port = Annotated[int | None, typer.Option("--port", metavar="N", min=1, max=65535, help="port (default 2024)")]


@takes_options(
    *MODEL_OPTIONS,
    *SETTINGS_OPTIONS,
    "approval_mode",
    "sandbox",
    "max_iterations",
    "max_budget_usd",
    "strict_budget",
    "add_dir",
)
def studio(port: Port = None, *, options: Options) -> int:
    """Serve your threads on this machine to LangGraph Studio and its SDK until Ctrl-C. Tracing is off."""
    if not (find_spec("langgraph_cli") and find_spec("langgraph_api")):
        raise ConfigurationError("LangGraph's server is not installed", install_hint("studio"))
    return asyncio.run(_serve(served_options(options), free_port(port)))


def served_options(options: Options) -> ServedOptions:
    """Build the options of the server's runs. Without an API key the default model is used, which cannot be called."""
    workspace = working_folder(options.request())
    loaded = _settings(options, workspace, options.model or os.environ.get(MODEL_VARIABLE))
    try:
        run = as_run_options(options.request(), loaded, workspace)
    except KeyMissing:
        loaded = _settings(options, workspace, loaded.settings.model_name)
        run = as_run_options(options.request(), loaded, workspace)
    environ = {name: os.environ[name] for name in OVERWRITTEN if name in os.environ}
    return ServedOptions(
        run, endpoint_of(options.request(), run.model), environ, loaded.settings.mcpServers, attended=True
    )


def _settings(options: Options, workspace: Path, model: str | None) -> Loaded:
    chosen: dict[str, Json] = {
        "model_name": model,
        "max_iterations": options.max_iterations,
        "reasoning_effort": options.effort,
    }
    return load(
        workspace,
        config_file=options.config,
        assignments=options.set_,
        options=chosen,
        defaults=FRONTEND,
        trust=options.trust,
    )


async def _serve(served: ServedOptions, port: int) -> int:
    """Run the server until a signal arrives and return the exit code of that signal."""
    served = await checked(served)
    stopped = first_signal()
    with server_folder(port) as folder:
        server = await Server.start(folder, port, served)
        attending = asyncio.ensure_future(_attend(server, served))
        try:
            await asyncio.wait([attending, stopped], return_when=asyncio.FIRST_COMPLETED)
            return stopped.result() if stopped.done() else attending.result()
        finally:
            attending.cancel()
            await asyncio.wait({attending})
            await server.end()


async def checked(served: ServedOptions) -> ServedOptions:
    """Check the models and add the notes about them. Without an API key, threads can be viewed but not run.

    Raises:
        ModelUnknown: no provider has the model.
        ConfigurationError: a price is unknown and the budget is strict.
    """
    from ml_intern.session.served_graph import check_models

    try:
        notes = await check_models(served.run, served.endpoint)
    except KeyMissing as error:
        say(f"threads can be viewed, but not run: {error}", 0)
        return served
    return replace(served, run=replace(served.run, notes=(*served.run.notes, *notes)))


async def _attend(server: Server, served: ServedOptions) -> int:
    """Print the server's address and keep its list of threads up to date. Raises MLInternError when it ends."""
    from httpx import AsyncClient

    await server.ready()
    print_lines(_greeting(server, served))
    sys.stdout.flush()
    listed = set[str]()
    async with (
        open_store() as store,
        AsyncClient(base_url=server.url, headers=server.headers, trust_env=False) as client,
    ):
        while server.process.returncode is None:
            await _list_threads(store, client, listed)
            with suppress(TimeoutError):
                await asyncio.wait_for(server.process.wait(), SYNC_SECONDS)
    raise server.ended()


def _greeting(server: Server, served: ServedOptions) -> Iterator[str]:
    yield f"serving all threads at {server.address}; folder {served.run.workspace}, model {served.run.model}"
    yield "keep this address private: it contains the token of this start"
    yield f"LangGraph Studio (optional; a page hosted by LangChain): {PAGE}?baseUrl={server.address}"
    yield f"server log: {server.log}; stop with Ctrl-C"
    yield from served.run.notes


async def _list_threads(store: "Store", client: "AsyncClient", listed: set[str]) -> None:
    """Register new threads with the server, because Studio lists only registered ones."""
    from httpx import TransportError

    rows = [row for row in await store.threads.list(limit=MAX_THREADS) if row.id not in listed and _is_uuid(row.id)]
    for row in reversed(rows):
        about = {"graph_id": GRAPH, "title": row.title, "folder": row.folder}
        try:
            await client.post("/threads", json={"thread_id": row.id, "metadata": about, "if_exists": "do_nothing"})
        except TransportError:  # the server is shutting down
            return
        listed.add(row.id)


def _is_uuid(text: str) -> bool:
    """Return whether the server accepts this id, which must be a UUID in canonical form."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
