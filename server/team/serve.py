"""The server of a team's threads, and the worker that runs them: each until a signal arrives."""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from ml_intern.configs.errors import ConfigurationError
from ml_intern.configs.paths import DATABASE_VARIABLE, database_url
from ml_intern.server.team.health import Health, metrics_route, metrics_socket, serve_health
from ml_intern.server.team.sessions import TeamSessions
from ml_intern.server.token import new_token
from ml_intern.server.web.access import Policy
from ml_intern.server.web.app import create_app
from ml_intern.server.web.serve import WebServer, address
from ml_intern.session.team.following import TeamThreads, open_team_threads

if TYPE_CHECKING:
    from starlette.applications import Starlette


def use_database(url: str) -> None:
    """Use the database for this process and those it starts. Without `url`, the environment names it.

    Raises ConfigurationError.
    """
    if url:
        os.environ[DATABASE_VARIABLE] = url
    if not database_url():
        raise ConfigurationError(
            "no database is named", f"use --database postgresql://USER:PASSWORD@HOST/NAME, or set {DATABASE_VARIABLE}"
        )


def team_app(policy: Policy, threads: TeamThreads) -> "Starlette":
    """Return the application of a server: the pages, the API, its health and its figures."""
    app = create_app(policy, TeamSessions(threads))
    app.router.routes.append(metrics_route(threads.metrics))
    app.add_middleware(Health, metrics=threads.metrics)
    return app


async def serve_team(listening: socket.socket, origin: str, ready: Callable[[str], None]) -> None:
    """Serve on the socket until a signal arrives. `ready` gets the address with the token. Raises MLInternError."""
    port = int(listening.getsockname()[1])
    policy = Policy(os.environ.get("ML_INTERN_SERVER_TOKEN") or new_token(), port, origin)
    async with open_team_threads() as threads:
        server = WebServer(team_app(policy, threads), lambda: ready(address(policy, port)))
        await server.serve(sockets=[listening])


async def work(threads: int, report: Callable[[str], None], until: "asyncio.Future[int]", metrics: str = "") -> None:
    """Run the threads of the database that need a session, until the future is set. Raises the store's errors.

    `metrics` is the address and port on which figures and the state of the worker are served.
    """
    from ml_intern.session.opening.store import open_store
    from ml_intern.session.team.worker import Worker

    async with open_store() as store:
        worker = Worker(store, threads, report)
        health = asyncio.create_task(serve_health(metrics_socket(metrics), worker.metrics)) if metrics else None
        report("waiting for threads with something to do; stop with Ctrl-C")
        try:
            await worker.run(until)
        finally:
            if health is not None:
                health.cancel()
                await asyncio.gather(health, return_exceptions=True)
