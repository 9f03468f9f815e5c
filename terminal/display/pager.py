"""Shows a whole text in the user's pager."""

import asyncio
import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ml_intern.text.visible import visible

if TYPE_CHECKING:
    from ml_intern.terminal.input.reader import SessionTerminal

PAGER = "less -R '-P?e(end) .q goes back, / searches'"


async def show_in_pager(console: "SessionTerminal", text: str) -> None:
    """Show a text in $PAGER, with control characters made visible."""
    with tempfile.TemporaryDirectory(prefix="ml-intern-") as folder:
        path = Path(folder) / "output.txt"
        path.write_text(f"{visible(text)}\n", encoding="utf-8")
        command = [*shlex.split(os.environ.get("PAGER") or PAGER), str(path)]
        async with console.suspended():
            try:
                await asyncio.to_thread(subprocess.run, command, check=False)
            except OSError as error:
                console.transcript.line(f"cannot start {command[0]}: {error.strerror}; set PAGER", "failure")
