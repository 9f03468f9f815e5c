"""An interactive session at the terminal. The screen comes first; what a session needs is loaded behind it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ml_intern.commands.failure import drop_stdout, report_line
from ml_intern.commands.options import Options
from ml_intern.commands.running.plain import shows_lines
from ml_intern.configs.errors import KeyMissing, UsageError
from ml_intern.session.remote.servers import chosen_server
from ml_intern.terminal.app import App
from ml_intern.terminal.display.frame import resizing_in
from ml_intern.terminal.questions import Questions

if TYPE_CHECKING:
    from ml_intern.session.opening.session import Opened
    from ml_intern.terminal.guide import Guide

TERMINATED = 143
LISTED_THREADS = 100


async def run_interactive(options: Options, guide: "Guide | None" = None, *, set_up: bool = False) -> int | None:
    """Run a session until the user leaves and return the exit code.

    `guide` sends a first message and watches the answers. `set_up` offers the set-up when no key is set; None is
    returned if the user chose the demo there.
    """
    for name in ("output_schema", "timeout"):
        if getattr(options, name) is not None:
            raise UsageError(f"--{name.replace('_', '-')} works only in a headless run", "add a PROMPT")
    app = App(verbose=options.verbose, resizing=resizing_in(os.environ), plain=shows_lines(options))
    main, terminated = asyncio.current_task(), asyncio.Event()

    def terminate() -> None:
        if not app.leaving:
            terminated.set()
        if main is not None:
            main.cancel()

    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, terminate)
    try:
        async with app.console.running():
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, app.on_sigint)
            return await _talk(options, app, guide, set_up=set_up)
    except asyncio.CancelledError:
        return _terminated() if terminated.is_set() else 0


def _terminated() -> int:
    drop_stdout()  # the terminal may be gone
    return TERMINATED


async def _talk(options: Options, app: App, guide: "Guide | None", *, set_up: bool) -> int | None:
    await asyncio.to_thread(_load)
    if options.resume == "":
        options = replace(options, resume=await _picked(options, app))
    questions = Questions(app.console)
    while True:
        if set_up and chosen_server() is None:
            await asyncio.to_thread(_offer_hub_login, options, questions)
        try:
            async with _opened(options, app) as opened:
                await _session(options, app, guide, opened)
        except KeyMissing as missing:
            if not set_up:
                raise
            found = await asyncio.to_thread(_set_up, options, missing, questions)
            if found is None:
                return None
            options = found
        else:
            return 0


@asynccontextmanager
async def _opened(options: Options, app: App) -> "AsyncIterator[Opened]":
    from ml_intern.session.opening.session import Interface, open_session
    from ml_intern.terminal.questions import ask_trust

    async def trusting(folder: Path) -> None:
        await ask_trust(app.console, folder)

    async with open_session(options.request(), Interface(report_line, trusting, "terminal")) as opened:
        yield opened


async def _session(options: Options, app: App, guide: "Guide | None", opened: "Opened") -> None:
    from ml_intern.commands.doctor import doctor_lines
    from ml_intern.session.opening.project_files import project_files
    from ml_intern.terminal.input.complete import PromptCompleter
    from ml_intern.terminal.slash.share import ask_share

    session = opened.session
    app.console.use_theme(opened.terminal.theme)
    app.console.configure(opened.terminal, Path(session.options.workspace))
    app.console.history.open(opened.home / "history" if opened.saved else None)
    if opened.saved:
        app.console.restore_draft(opened.home / "drafts", Path(session.options.workspace))
    app.console.complete_with(PromptCompleter(Path(session.options.workspace), project_files))
    asked = await app.run(session, partial(doctor_lines, options), guide.task if guide else options.prompt or "", guide)
    if session.attached:
        where = "in the other process" if (server := chosen_server()) is None else f"on {server.name}"
        app.screen.line(f"left the thread; it continues {where}", "dim")
        return
    used = await session.totals()
    if used.requests and opened.saved and opened.signed_in and not asked:
        await ask_share(app.screen, app.console)
    if used.requests and opened.saved:
        app.screen.line(f"continue with: ml-intern -r {session.thread_id[:8]}", "dim")


async def _picked(options: Options, app: App) -> str:
    """Let the user choose a thread of this folder, or of any folder when this one has none or is on another machine."""
    from ml_intern.commands.threads.opened import threads_of_user
    from ml_intern.session.opening.options import working_folder
    from ml_intern.terminal.picker import pick_thread

    async with threads_of_user() as threads:
        here = chosen_server() is None
        folder = str(working_folder(replace(options, resume=None).request())) if here else options.cd
        rows = await threads.list(folder, LISTED_THREADS) or await threads.list(None, LISTED_THREADS)
        chosen = await pick_thread(app.console, threads, rows)
    if chosen is None:
        raise UsageError("no thread was chosen", "name one with -r THREAD, or start a new one without -r")
    return chosen


def _load() -> None:
    """Import what a session needs, in a thread, while the user types already."""
    import ml_intern.commands.setup.set_up
    import ml_intern.terminal.render.markdown
    import ml_intern.terminal.slash.table  # noqa: F401
    from ml_intern.session.opening.session import load

    load()


def _offer_hub_login(options: Options, asks: Questions) -> None:
    from ml_intern.commands.setup.set_up import offer_hub_login

    offer_hub_login(options, asks)


def _set_up(options: Options, missing: KeyMissing, asks: Questions) -> Options | None:
    from ml_intern.commands.setup.set_up import set_up

    return set_up(options, missing, asks)
