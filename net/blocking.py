"""Run blocking libraries in threads that block neither the event loop nor the exit of the program."""

import asyncio
from _thread import start_new_thread
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar
from weakref import WeakKeyDictionary

from ml_intern.net.service import Unavailable

T = TypeVar("T")

MAX_THREADS = 8
_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


async def run_in_thread(work: Callable[[], T], *, seconds: float, what: str) -> T:
    """Run blocking `work` in a thread and return its result or raise its error. At most MAX_THREADS run at a time.

    A thread that hangs is abandoned and does not keep the program from exiting.

    Raises:
        Unavailable: it took longer than `seconds`. `what` names the awaited service.
    """
    loop = asyncio.get_running_loop()
    async with _slots.setdefault(loop, asyncio.Semaphore(MAX_THREADS)):
        done: asyncio.Future[T] = loop.create_future()
        start_new_thread(_run, (work, loop, done))  # threading.Thread.start blocks until the thread runs
        try:
            async with asyncio.timeout(seconds):
                return await done
        except TimeoutError as error:
            if done.done() and not done.cancelled():
                raise  # raised by `work` itself
            raise Unavailable(f"{what} did not answer within {seconds:g} s; try again later") from error


def _run(work: Callable[[], T], loop: asyncio.AbstractEventLoop, done: "asyncio.Future[T]") -> None:
    result: T | None = None
    failure: BaseException | None = None
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 re-raised where it is awaited
        failure = error

    def set_outcome() -> None:
        if done.cancelled():
            return
        if failure is None:
            done.set_result(result)  # type: ignore[arg-type]
        else:
            done.set_exception(failure)

    with suppress(RuntimeError):  # the loop has ended, so nothing awaits the result
        loop.call_soon_threadsafe(set_outcome)
