"""Making something in a thread that has to be closed: a caller who is cancelled meanwhile leaves nothing open."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def opened_in_thread(make: Callable[[], T], close: Callable[[T], object]) -> T:
    """What `make` returns. Where the caller is cancelled before it could take it, it is closed."""
    making = asyncio.ensure_future(asyncio.to_thread(make))
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        await asyncio.wait({making})
        if not making.cancelled() and making.exception() is None:
            close(making.result())
        raise
