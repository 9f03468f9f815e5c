"""The process in which a worker runs one thread. It ends when the thread has nothing to do, or its input ends.

It first writes its process id. Each byte of its input means that something was posted to the thread.
"""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_intern.configs.errors import MLInternError, TemporaryError, UsageError
from ml_intern.configs.layers import load
from ml_intern.configs.paths import data_home
from ml_intern.safety.error_log import log_error
from ml_intern.session.opening.request import SessionRequest
from ml_intern.session.opening.session import Interface, Opened, open_session
from ml_intern.session.opening.store import open_store
from ml_intern.session.team.environment import adopt_owners_keys
from ml_intern.session.team.recorder import say
from ml_intern.session.team.repositories import REPOSITORY, clone_repository
from ml_intern.session.team.shared import SharedThread
from ml_intern.session.team.workspaces import needs_sandbox
from ml_intern.session.wire.codec import encode_error
from ml_intern.session.wire.stdio import StandardStreams

if TYPE_CHECKING:
    from ml_intern.store.store import Store

REST_SECONDS = 60.0
"""The time without anything to do after which the process ends."""
CLOSING_SECONDS = 20.0
"""The time to finish the current step at the end."""


async def run(thread_id: str) -> int:
    """Run a thread. Return the exit code."""
    reader, writer = await StandardStreams.take().open()
    writer.write(b"%d\n" % os.getpid())
    loop, ending = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    try:
        async with open_session(await _request(thread_id), Interface(_report)) as opened:
            await _serve(opened, reader, ending)
    except TemporaryError as error:  # another process has the thread, or the database is away
        _report(str(error))
        return error.exit_code
    except MLInternError as error:
        _report(str(error))
        with suppress(MLInternError):  # the database itself cannot be used, and what was posted waits
            await _refuse(thread_id, error)
        return error.exit_code
    return 0


async def _request(thread_id: str) -> SessionRequest:
    async with open_store() as store:
        options = dict(await store.operations.options(thread_id))
        await adopt_owners_keys(store, thread_id)
        if repository := options.pop(REPOSITORY, ""):
            await _clone(store, thread_id, repository)
        contained = {"sandbox": True} if await needs_sandbox(store, thread_id) else {}
    return SessionRequest(**{"thread": thread_id, "approval_mode": "ask", **options, **contained})


async def _clone(store: "Store", thread_id: str, repository: str) -> None:
    """Clone the repository of a thread into its folder, under its lock. Raises the errors of `clone_repository`."""
    row = await store.threads.find(thread_id)
    hosts = load(Path(row.folder)).settings.web.private_hosts
    async with store.hold(thread_id):
        await clone_repository(Path(row.folder), repository, hosts)


async def _refuse(thread_id: str, error: MLInternError) -> None:
    """Refuse what was posted to a thread that cannot be opened. Raises the errors of the store."""
    async with open_store() as store, store.hold(thread_id):
        for posted in await store.operations.open_of(thread_id):
            await store.operations.finish(posted.id, encode_error(error))
        await store.operations.give_up(thread_id)
        await say(store, thread_id, error.message, error.remedy)


async def _serve(opened: Opened, reader: asyncio.StreamReader, ending: asyncio.Event) -> None:
    """Perform what is posted until the thread rests, or the process is to end."""
    shared = opened.shared
    if shared is None:
        raise UsageError("this process was started without a database", "use ml-intern worker")
    events = asyncio.create_task(_read_events(opened))
    waits: list[asyncio.Future[Any]] = [
        asyncio.ensure_future(one)
        for one in (_rest(opened, shared), _take_calls(reader, shared), ending.wait(), shared.lost)
    ]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
    await shared.stop()
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSING_SECONDS):
            await opened.session.close()
            await events


async def _read_events(opened: Opened) -> None:
    async for _ in opened.session.events():
        pass


async def _take_calls(reader: asyncio.StreamReader, shared: SharedThread) -> None:
    while await reader.read(1_024):
        shared.check()


async def _rest(opened: Opened, shared: SharedThread) -> None:
    """Wait until nothing has happened for REST_SECONDS and nothing can happen by itself."""
    while True:
        await opened.session.at_rest()
        before = shared.activity
        await asyncio.sleep(REST_SECONDS)
        if shared.activity == before and not shared.is_busy and not await opened.session.runs.unfinished():
            return


def _report(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def main() -> None:
    """Run the thread that is named in the arguments."""
    try:
        code = asyncio.run(run(sys.argv[1]))
    except Exception as error:  # noqa: BLE001 every error becomes one line, and its traceback goes to the log
        _report(str(log_error(data_home(), sys.argv[1], error)))
        code = 1
    sys.exit(code)


if __name__ == "__main__":
    main()
