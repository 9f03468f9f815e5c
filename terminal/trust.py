"""The question whether a folder may bring settings of its own, asked once and again when those change."""

from pathlib import Path
from typing import TYPE_CHECKING

from configs.trust import decide, decision, wishes_of
from safety.visible import visible

if TYPE_CHECKING:
    from terminal.approval import Asks
    from terminal.screen import Screen


async def ask_trust(screen: "Screen", asks: "Asks", folder: Path) -> None:
    """Ask about `folder` when it has something to trust it with and nothing was said yet. No answer decides nothing."""
    things = wishes_of(folder).things
    if not things or decision(folder) is not None:
        return
    screen.line(f"{visible(str(folder))} brings:", "bold yellow")
    for thing in things:
        screen.line(f"  {visible(thing)}")
    screen.line("Such settings can start programs, allow commands and send your keys elsewhere.", "dim")
    while True:
        answer = await asks.line("do you trust this folder (y yes  n no; empty: ask next time)? ")
        word = (answer or "").strip().lower()
        if word in ("y", "yes", "n", "no"):
            decide(folder, trusted=word[0] == "y")
        if word in ("y", "yes", "n", "no", ""):
            return
