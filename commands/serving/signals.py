"""The signal that ends a command which serves until then."""

import asyncio
import signal

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


def first_signal() -> "asyncio.Future[int]":
    """Return a future of the exit code for the first signal that ends the program."""
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[int] = loop.create_future()

    def stop(code: int) -> None:
        if not stopped.done():
            stopped.set_result(code)

    for sign, code in EXIT_CODES.items():
        loop.add_signal_handler(sign, stop, code)
    return stopped
