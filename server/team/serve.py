"""The server of a team's threads, and the worker that runs them: each until a signal arrives."""

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.middleware import Middleware

from ml_intern.configs.errors import ConfigurationError
from ml_intern.configs.layers import load
from ml_intern.configs.paths import DATABASE_VARIABLE, database_url
from ml_intern.configs.settings import TeamSettings
from ml_intern.server.team.health import Health, metrics_route, metrics_socket, serve_health
from ml_intern.server.team.people.accounts import TeamAccounts
from ml_intern.server.team.people.gate import RightsGate
from ml_intern.server.team.people.limits import PostLimits
from ml_intern.server.team.people.login import Login
from ml_intern.server.team.people.routes import people_routes
from ml_intern.server.team.sessions import TeamSessions
from ml_intern.server.token import new_token
from ml_intern.server.web.access import Policy
from ml_intern.server.web.app import create_app
from ml_intern.server.web.serve import WebServer, address
from ml_intern.session.team.following import TeamThreads, open_team_threads
from ml_intern.session.team.workspaces import check_sandbox

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


def team_app(
    policy: Policy, threads: TeamThreads, settings: TeamSettings, private_hosts: Sequence[str] = ()
) -> "Starlette":
    """Return the application of a server: the pages, the API, its people, its health and its figures.

    Repositories are cloned from public hosts and from `private_hosts`.

    Raises ConfigurationError if a login is configured and cannot be offered.
    """
    login = Login(settings.login, policy, threads.people).routes() if settings.login.issuer else []
    accounts = TeamAccounts(policy, threads.people, [route.path for route in login], settings.models)
    gate = Middleware(RightsGate, policy=policy, accounts=accounts, limits=PostLimits(settings.posts_per_minute))
    app = create_app(policy, TeamSessions(threads, private_hosts), accounts, [gate])
    app.router.routes += [metrics_route(threads.metrics), *people_routes(threads.people, policy), *login]
    app.add_middleware(Health, metrics=threads.metrics)
    return app


async def serve_team(
    listening: socket.socket, origin: str, settings: TeamSettings, ready: Callable[[str], None]
) -> None:
    """Serve on the socket until a signal arrives. `ready` gets the address with the token. Raises MLInternError."""
    port = int(listening.getsockname()[1])
    policy = Policy(os.environ.get("ML_INTERN_SERVER_TOKEN") or new_token(), port, origin)
    async with open_team_threads() as threads:
        await check_sandbox(threads.people.users)
        hosts = load(Path.cwd()).settings.web.private_hosts
        server = WebServer(team_app(policy, threads, settings, hosts), lambda: ready(address(policy, port)))
        await server.serve(sockets=[listening])


async def work(threads: int, report: Callable[[str], None], until: "asyncio.Future[int]", metrics: str = "") -> None:
    """Run the threads of the database that need a session, until the future is set. Raises the store's errors.

    `metrics` is the address and port on which figures and the state of the worker are served.
    """
    from ml_intern.session.opening.store import open_store
    from ml_intern.session.team.worker import Worker

    async with open_store() as store:
        await check_sandbox(store.users)
        worker = Worker(store, threads, report)
        health = asyncio.create_task(serve_health(metrics_socket(metrics), worker.metrics)) if metrics else None
        report("waiting for threads with something to do; stop with Ctrl-C")
        try:
            await worker.run(until)
        finally:
            if health is not None:
                health.cancel()
                await asyncio.gather(health, return_exceptions=True)
