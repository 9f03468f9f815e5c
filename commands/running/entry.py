"""The command without a name: headless with a prompt or without a terminal, interactive otherwise."""

import sys
from dataclasses import replace

from ml_intern.commands.options import Options, is_interactive, takes_options
from ml_intern.configs.errors import UsageError

_ARENAS = -8
"""M_ARENA_MAX of malloc.h in glibc."""


def share_heap() -> None:
    """Make all threads share one malloc arena. Call this before any thread starts.

    Memory freed in a thread's own arena is not reused by other threads, which costs a long run about 10 MB. Python's
    global lock already lets only one thread allocate at a time.
    """
    import ctypes

    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_ARENAS, 1)


@takes_options()
def run(options: Options) -> int:
    """An autonomous ML engineer for the terminal.

    Without PROMPT, on a terminal: start an interactive session. With PROMPT or piped stdin: run one turn headless,
    print the answer to stdout and everything else to stderr.
    """
    import asyncio

    share_heap()
    if is_interactive(options):
        return run_with_person(options)
    if options.resume == "":
        raise UsageError(
            "-r without a thread needs a terminal to choose one", "name a thread; `ml-intern threads list` lists them"
        )
    from ml_intern.commands.running.handover import Handover
    from ml_intern.commands.running.headless import run_headless
    from ml_intern.commands.running.prompt import read_prompt

    prompt = read_prompt(options.prompt)
    if prompt is None and not (options.continue_ or options.resume):
        raise UsageError("no prompt was given", 'use ml-intern "PROMPT", or pipe the prompt in')
    try:
        return asyncio.run(run_headless(options, prompt))
    except Handover as chosen:
        return run_with_person(
            replace(options, prompt=None, resume=chosen.thread_id, continue_=False, fork=False, timeout=None)
        )


def run_with_person(options: Options) -> int:
    """Run an interactive session, with the set-up when no key for the model is set."""
    import asyncio
    from contextlib import nullcontext

    from ml_intern.commands.failure import INTERRUPTED, say
    from ml_intern.commands.running.plain import shows_lines
    from ml_intern.terminal.keys import quiet_keys

    # The echo is off from the start: text typed while the first packages load belongs to the prompt.
    with nullcontext() if shows_lines(options) else quiet_keys():
        try:
            from ml_intern.commands.running.interactive import run_interactive

            code = asyncio.run(run_interactive(options, set_up=True))
        except KeyboardInterrupt:  # later, Ctrl-C is a key of the session
            return say("interrupted while the session was starting; nothing was changed", INTERRUPTED)
    if code is not None:
        return code
    from ml_intern.commands.setup.demo import DEFAULT_SEED, run_demo

    return run_demo(Options(), DEFAULT_SEED, None)
