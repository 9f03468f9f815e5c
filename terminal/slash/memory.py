"""/memory: show what was learned about the folder, forget a fact."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ml_intern.configs.errors import MLInternError

if TYPE_CHECKING:
    from ml_intern.configs.memory.facts import Fact
    from ml_intern.terminal.slash.host import Host


def fact_lines(facts: "Mapping[int, Fact]") -> Iterator[str]:
    """Yield one line per fact with its number, or a line that there is none."""
    if not facts:
        yield "nothing is remembered about this folder"
    yield from (f"{number:<4}{fact.line.removeprefix('- ')}" for number, fact in facts.items())


async def memory(host: "Host", argument: str) -> None:
    """Show the facts of the session's folder, or remove one."""
    from ml_intern.configs.memory.facts import facts_in
    from ml_intern.configs.memory.file import forget, read_memory

    word, _, number = argument.partition(" ")
    folder = Path(host.options.workspace)
    try:
        if word == "forget" and number.strip().isdecimal():
            host.screen.line(f"forgotten: {forget(folder, int(number)).text}", "dim")
        elif argument:
            host.screen.line("usage: /memory [forget N]", "failure")
        else:
            for line in fact_lines(facts_in(read_memory(folder))):
                host.screen.line(line)
    except MLInternError as error:
        host.screen.line(str(error), "failure")
