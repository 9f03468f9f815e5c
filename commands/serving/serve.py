"""`serve` and `worker`: threads in a PostgreSQL database, for browsers and for any number of machines that run them."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ml_intern.commands.failure import report_line
from ml_intern.commands.serving.signals import first_signal
from ml_intern.commands.serving.web import Host, Port, greet
from ml_intern.configs.layers import load

Database = Annotated[
    str,
    typer.Option("--database", metavar="URL", help="PostgreSQL database with the threads (or ML_INTERN_DATABASE)"),
]
Threads = Annotated[
    int, typer.Option("--threads", metavar="N", min=1, max=1_000, help="threads that run here at the same time")
]


def serve(database: Database = "", port: Port = None, host: Host = "127.0.0.1") -> int:
    """Serve a web page with the threads of a database until Ctrl-C. Workers run the threads."""
    from ml_intern.server.team.serve import serve_team, use_database
    from ml_intern.server.web.serve import bound_socket, checked_origin

    use_database(database)
    settings = load(Path.cwd()).settings
    origin = checked_origin(settings.web_page.origin)
    ready = partial(greet, "the threads of the database")
    asyncio.run(serve_team(bound_socket(host, port, origin), origin, settings.team, ready))
    return 0


Metrics = Annotated[
    str,
    typer.Option(
        "--metrics", metavar="[ADDRESS:]PORT", help="serve /metrics for Prometheus, /healthz and /readyz here"
    ),
]


def worker(database: Database = "", threads: Threads = 16, metrics: Metrics = "") -> int:
    """Run the threads of a database that have something to do, until Ctrl-C. Start as many workers as you like."""
    from ml_intern.server.team.serve import use_database

    use_database(database)
    return asyncio.run(_work(threads, metrics))


async def _work(threads: int, metrics: str) -> int:
    from ml_intern.server.team.serve import work

    stopped = first_signal()
    await work(threads, report_line, stopped, metrics)
    return await stopped
