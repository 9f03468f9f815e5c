"""Detect replies that stall. Only content counts: keepalive comments and empty fragments do not."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial

from ml_intern.models.errors import Stalled
from ml_intern.models.request import ReplyPart
from ml_intern.models.routing import Route

GRANT = 0.2
"""The share of the idle time that a fragment adds at most, so that one fragment now and then does not keep a reply."""


async def paced(
    parts: AsyncGenerator[ReplyPart], route: Route, idle_s: float, grace_s: float = 0
) -> AsyncGenerator[ReplyPart]:
    """Yield the fragments of a reply. Raises Stalled when too little content arrives.

    `grace_s` is the time that a library may need for its own work.
    """
    clock, limit_s = asyncio.get_running_loop().time, idle_s + grace_s
    deadline = clock() + limit_s
    async with aclosing(parts):
        while (part := await _next(parts, deadline, partial(stalled, route, idle_s))) is not None:
            if _has_content(part):
                deadline = min(clock() + limit_s, deadline + GRANT * limit_s)
            yield part


def stalled(route: Route, idle_s: float) -> Stalled:
    """Return the error for a reply without content for this long."""
    return Stalled(f"{route.where} sent no content for {idle_s:g} s")


async def _next(parts: AsyncGenerator[ReplyPart], deadline: float, late: Callable[[], Stalled]) -> ReplyPart | None:
    try:
        async with asyncio.timeout_at(deadline):
            return await anext(parts, None)
    except TimeoutError as error:
        raise late() from error


def _has_content(part: ReplyPart) -> bool:
    return bool(part.text or part.reasoning or part.calls or part.finish or part.usage or part.extras)
