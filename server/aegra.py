"""The entry points in aegra.json: graph and HTTP application for Aegra, which accepts no checkpointer but its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

from starlette.middleware import Middleware

from ml_intern.server.access import AccessControl
from ml_intern.server.serving import SERVING, studio_graph

__all__ = ["app", "graph"]


@asynccontextmanager
async def _opened(_: Any) -> AsyncIterator[None]:
    """Open the graph on the database of the command line while the server runs."""
    async with SERVING.checkpointer():
        yield


graph = studio_graph(SERVING)
app = import_module("fastapi").FastAPI(lifespan=_opened, middleware=[Middleware(AccessControl)])
