"""/copy: put the last answer, or a code block of it, into the clipboard of the terminal."""

import os
from typing import TYPE_CHECKING

from ml_intern.terminal import attention
from ml_intern.terminal.blocks.reply import code_blocks
from ml_intern.text.formatting import plural

if TYPE_CHECKING:
    from ml_intern.terminal.slash.host import Host


async def copy(host: "Host", argument: str) -> None:
    """Copy the last answer; `code` its last code block, a number that code block."""
    if argument and argument != "code" and not argument.isdecimal():
        host.screen.line("usage: /copy [code|N], where N is the number of a code block", "failure")
        return
    messages = await host.session.history()
    answer = next((one.text for one in reversed(messages) if one.role == "assistant" and one.text.strip()), "")
    text = _block(answer, argument) if argument else answer.strip()
    if text is None:
        host.screen.line(f"the last answer has {plural(len(code_blocks(answer)), 'code block')}", "failure")
    elif not text:
        host.screen.line("there is no answer to copy", "failure")
    elif not (sequence := attention.copy(text, os.environ)):
        host.screen.line(f"too long for the clipboard of a terminal: {len(text):,} characters; use /export", "failure")
    else:
        if not host.console.send(sequence):
            host.screen.line("plain mode sends nothing to the clipboard; use /export", "failure")
            return
        note = "; tmux needs `set -g set-clipboard on`" if os.environ.get("TMUX") else ""
        host.screen.line(f"copied {plural(len(text), 'character')}, if your terminal allows it (OSC 52){note}", "dim")


def _block(answer: str, argument: str) -> str | None:
    """Return the code block that an argument names; None if there is none."""
    blocks = code_blocks(answer)
    place = len(blocks) if argument == "code" else int(argument)
    return blocks[place - 1] if 0 < place <= len(blocks) else None
