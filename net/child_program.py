"""Programs of our own that read what is hostile at times, or hold every thread up: run apart, asked once."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress
from pathlib import Path


async def ask_child(program: Path, *words: str, given: bytes, seconds: float) -> bytes:
    """What a program writes to stdout, given this on stdin; what it needs of the environment is a locale.

    Raises:
        TimeoutError: it took longer. It is ended then, as when the caller is cancelled.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", str(program), *words,
        stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"}, start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(seconds):
            out, _ = await process.communicate(given)
            return out
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
