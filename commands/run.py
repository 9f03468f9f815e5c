"""The hidden command a prompt belongs to: headless with a prompt or without a terminal, else interactive."""

import sys

from commands.options import Options, takes_options
from configs.errors import KeyMissing, UsageError


@takes_options()
def run(options: Options) -> int:
    """An autonomous ML engineer for the terminal.

    Without PROMPT, on a terminal: interactive. With PROMPT or piped stdin: headless, one turn; the answer
    goes to stdout, all else to stderr.
    """
    import asyncio

    from configs.heap import share_heap

    share_heap()
    if is_interactive(options):
        return run_with_person(options)
    if options.resume == "":
        raise UsageError("-r without a thread needs a terminal to pick one", "`ml-intern threads list` shows them")
    from commands.headless import run_headless
    from commands.prompt_text import read_prompt

    prompt = read_prompt(options.prompt)
    if prompt is None and not (options.continue_ or options.resume):
        raise UsageError("there is no prompt", 'give one: ml-intern "PROMPT", or pipe it in')
    return asyncio.run(run_headless(options, prompt))


def run_with_person(options: Options) -> int:
    """The interactive session; without a key for its model a set-up comes first, and once the question for the Hub."""
    import asyncio

    from terminal.keys import quiet_keys, shown_keys

    while True:
        try:
            with quiet_keys():  # from the beginning: what is typed while the packages load is for the prompt
                from commands.interactive import run_interactive
                from commands.set_up import offer_hub_login, set_up

                with shown_keys():
                    offer_hub_login(options)
                return asyncio.run(run_interactive(options))
        except KeyMissing as missing:
            found = set_up(options, missing)
            if isinstance(found, int):
                return found
            options = found


def is_interactive(options: Options) -> bool:
    """Whether a person sits at the other end and gave nothing to do yet."""
    asked_for_output = options.print_ or options.output_format != "text" or options.output_schema is not None
    if options.prompt is not None or asked_for_output:
        return False
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))
