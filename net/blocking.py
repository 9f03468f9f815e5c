"""Blocking libraries, run in threads that neither hold up the event loop nor the end of the program."""

import asyncio
from _thread import start_new_thread
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar
from weakref import WeakKeyDictionary

from ml_intern.net.service import Unavailable

T = TypeVar("T")

SIDE_BY_SIDE = 8
_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


async def in_thread(work: Callable[[], T], *, seconds: float, what: str) -> T:
    """The result of `work`, which blocks, or whatever it raises; at most SIDE_BY_SIDE run at a time.

    A thread that hangs is left behind and does not keep the program from ending.

    Raises:
        Unavailable: it took longer than `seconds`; `what` names what was waited for.
    """
    loop = asyncio.get_running_loop()
    async with _slots.setdefault(loop, asyncio.Semaphore(SIDE_BY_SIDE)):
        done: asyncio.Future[T] = loop.create_future()
        start_new_thread(_run, (work, loop, done))  # threading.Thread waits for its first breath, and so would the loop
        try:
            async with asyncio.timeout(seconds):
                return await done
        except TimeoutError as error:
            if done.done() and not done.cancelled():
                raise  # of `work` itself
            raise Unavailable(f"{what} did not answer within {seconds:g} s; try again later") from error


def _run(work: Callable[[], T], loop: asyncio.AbstractEventLoop, done: "asyncio.Future[T]") -> None:
    result: T | None = None
    failure: BaseException | None = None
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 raised again where it is awaited
        failure = error

    def tell() -> None:
        if done.cancelled():
            return
        if failure is None:
            done.set_result(result)  # type: ignore[arg-type]
        else:
            done.set_exception(failure)

    with suppress(RuntimeError):  # the loop ended meanwhile: nobody waits
        loop.call_soon_threadsafe(tell)
