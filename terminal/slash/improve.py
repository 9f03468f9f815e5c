"""/improve: show the latest search of the folder, control it, or start one."""

import shlex
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Final

from ml_intern.configs.errors import MLInternError

if TYPE_CHECKING:
    from ml_intern.terminal.slash.host import Host

WORDS: Final = {"pause": "pause", "continue": "run", "finish": "finish", "stop": "stop"}
"""The words of the user, and what each asks of the process of the search."""
USAGE: Final = 'usage: /improve ["WHAT" --metric "max NAME" --eval COMMAND|pause|continue|finish|stop]'
_TALLEST: Final = 60


async def improve(host: "Host", argument: str) -> None:
    """Show, control or start a search."""
    from ml_intern.search.listing import ask_search
    from ml_intern.search.starting import start_search

    folder = host.options.workspace
    try:
        if not argument:
            await _show(host, str(folder))
        elif argument in WORDS:
            host.screen.line(f"{argument}: search {await ask_search(str(folder), WORDS[argument])}", "dim")
        else:
            words = shlex.split(argument)
            model = [] if {"-m", "--model"} & set(words) else ["-m", host.options.model]
            host.screen.line(await start_search([*words, *model], Path(folder)))
            host.screen.line("it continues when you leave; /improve shows it, /improve stop ends it", "dim")
    except ValueError:  # quotes that are not closed
        host.screen.line(USAGE, "failure")
    except MLInternError as error:
        host.screen.line(str(error), "failure")


async def _show(host: "Host", folder: str) -> None:
    from ml_intern.search.listing import latest_search
    from ml_intern.terminal.theme import Theme
    from ml_intern.terminal.views.search import SearchView

    search = await latest_search(folder)
    if search is None:
        host.screen.line(f"this folder has no search; {USAGE}", "dim")
        return
    height = min(len(search.tree.attempts) + 12, _TALLEST)
    for row in SearchView(search).rows(get_terminal_size().columns - 1, height, Theme("none"))[:-1]:
        host.screen.line(row)
