"""An interactive session at the terminal."""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ml_intern.commands.doctor import doctor_lines
from ml_intern.commands.failure import report_line
from ml_intern.commands.options import Options
from ml_intern.commands.threads.opened import threads_of_user
from ml_intern.configs.errors import UsageError
from ml_intern.session.opening.options import working_folder
from ml_intern.session.opening.session import Interface, open_session
from ml_intern.terminal.app import App, Messages
from ml_intern.terminal.completer import PromptCompleter
from ml_intern.terminal.keys import quiet_keys
from ml_intern.terminal.picker import pick_thread
from ml_intern.terminal.prompt import Prompt
from ml_intern.terminal.questions import ask_trust
from ml_intern.terminal.screen import Screen, open_console
from ml_intern.terminal.slash.share import ask_share

if TYPE_CHECKING:
    from ml_intern.session.protocol import Session

    Guide = Callable[[Session, Prompt], Messages]

TERMINATED = 143
LISTED_THREADS = 20


async def run_interactive(options: Options, guide: "Guide | None" = None) -> int:
    """Run a session until the user leaves and return the exit code. `guide` wraps the source of the user's messages."""
    with quiet_keys():
        return await _interactive(options, guide)


async def _interactive(options: Options, guide: "Guide | None") -> int:
    for name in ("output_schema", "timeout"):
        if getattr(options, name) is not None:
            raise UsageError(f"--{name.replace('_', '-')} works only in a headless run", "add a PROMPT")
    screen = Screen(open_console(), verbose=options.verbose)
    if options.resume == "":
        options = replace(options, resume=await _picked(options, screen))
    main = asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, lambda: main and main.cancel())
    try:
        return await _talk(options, screen, guide)
    except asyncio.CancelledError:
        return TERMINATED


async def _talk(options: Options, screen: Screen, guide: "Guide | None") -> int:
    async def trusting(folder: Path) -> None:
        await ask_trust(screen, Prompt(None, PromptCompleter(folder), str), folder)

    async with open_session(options.request(), Interface(report_line, trusting)) as opened:
        session = opened.session

        def toolbar() -> str:
            return f" {session.options.model}  {session.options.approval_mode}  {screen.spent}"

        history = opened.home / "history" if opened.saved else None
        prompt = Prompt(history, PromptCompleter(Path(session.options.workspace)), toolbar)
        doctor = partial(doctor_lines, options)
        await App(session, screen, guide(session, prompt) if guide else prompt, doctor).run()
        used = await session.totals()
        if used.requests and opened.saved and opened.signed_in:
            await ask_share(screen, prompt)
        if used.requests and opened.saved:
            screen.line(f"continue with: ml-intern -r {session.thread_id[:8]}", "dim")
    return 0


async def _picked(options: Options, screen: Screen) -> str:
    """Let the user choose a thread of this folder, or of any folder when this one has none."""
    async with threads_of_user() as threads:
        folder = str(working_folder(replace(options, resume=None).request()))
        rows = await threads.list(folder, LISTED_THREADS) or await threads.list(None, LISTED_THREADS)
        sizes = await threads.sizes([row.id for row in rows])
    prompt = Prompt(None, PromptCompleter(Path(folder)), str)
    chosen = await pick_thread(screen, prompt, rows, sizes)
    if chosen is None:
        raise UsageError("no thread was chosen", "name one with -r THREAD, or start a new one without -r")
    return chosen
