"""Run ml-intern's own programs for hostile input or work that would block every thread, in a child process."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress
from pathlib import Path


async def run_child_program(program: Path, *args: str, stdin: bytes, seconds: float) -> bytes:
    """Run a program with `stdin` and return what it writes to stdout. Its environment is only PATH and a locale.

    Raises:
        TimeoutError: it took longer than `seconds`. The program is killed then, and when the caller is cancelled.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", str(program), *args,
        stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"}, start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(seconds):
            out, _ = await process.communicate(stdin)
            return out
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
