"""The command behind a bare prompt: headless with a prompt or without a terminal, interactive otherwise."""

import sys

from ml_intern.commands.options import Options, is_interactive, takes_options
from ml_intern.configs.errors import KeyMissing, UsageError

_ARENAS = -8
"""M_ARENA_MAX of malloc.h in glibc."""


def share_heap() -> None:
    """Let all threads share one heap, before there are threads: each with its own keeps what it freed to itself.

    About 10 MB of a long run. Python's own lock lets one thread allocate at a time anyway.
    """
    import ctypes

    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_ARENAS, 1)


@takes_options()
def run(options: Options) -> int:
    """An autonomous ML engineer for the terminal.

    Without PROMPT, on a terminal: interactive. With PROMPT or piped stdin: headless, one turn; the answer
    goes to stdout, all else to stderr.
    """
    import asyncio

    share_heap()
    if is_interactive(options):
        return run_with_person(options)
    if options.resume == "":
        raise UsageError("-r without a thread needs a terminal to pick one", "`ml-intern threads list` shows them")
    from ml_intern.commands.running.headless import run_headless
    from ml_intern.commands.running.prompt import read_prompt

    prompt = read_prompt(options.prompt)
    if prompt is None and not (options.continue_ or options.resume):
        raise UsageError("there is no prompt", 'give one: ml-intern "PROMPT", or pipe it in')
    return asyncio.run(run_headless(options, prompt))


def run_with_person(options: Options) -> int:
    """The interactive session; without a key for its model a set-up comes first, and once the question for the Hub."""
    import asyncio

    from ml_intern.terminal.keys import quiet_keys, shown_keys

    while True:
        try:
            with quiet_keys():  # from the beginning: what is typed while the packages load is for the prompt
                from ml_intern.commands.running.interactive import run_interactive
                from ml_intern.commands.setup.set_up import offer_hub_login, set_up

                with shown_keys():
                    offer_hub_login(options)
                return asyncio.run(run_interactive(options))
        except KeyMissing as missing:
            found = set_up(options, missing)
            if isinstance(found, int):
                return found
            options = found
