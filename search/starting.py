"""Start a search as a process of its own, which outlives the program that starts it."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ml_intern.configs.errors import UsageError
from ml_intern.configs.paths import data_home, private_folder
from ml_intern.text.visible import visible

_SECONDS: Final = 60.0
"""How long a start may take until it says which search it is."""
_POLL: Final = 0.1


async def start_search(words: Sequence[str], folder: Path) -> str:
    """Run `ml-intern improve` with these words in a folder, and return its first line. Raises UsageError."""
    log = private_folder(data_home() / "improve") / f"{time.time_ns()}.log"
    with log.open("xb") as output:
        process = subprocess.Popen(  # noqa: ASYNC220 - it is not waited for
            [sys.executable, "-I", "-m", "ml_intern", "improve", *words], cwd=folder,
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    threading.Thread(target=process.wait, name="search", daemon=True).start()  # reaps the process
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until:
        lines = [line for line in visible(log.read_text(encoding="utf-8", errors="replace")).splitlines() if line]
        if process.poll() is not None and process.returncode:
            raise UsageError("the search did not start", lines[-1] if lines else f"exit code {process.returncode}")
        if started := next((line for line in lines if " search " in f" {line}"), ""):
            return started
        await asyncio.sleep(_POLL)
    raise UsageError(f"the search did not start within {_SECONDS:g} s", f"its output is in {log}")
