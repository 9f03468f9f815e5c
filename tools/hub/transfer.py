"""Runs the process that moves files, passes on what it says, and ends it when nobody waits any more."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ml_intern.configs.hosts import hub_url
from ml_intern.execution.call import ToolError
from ml_intern.execution.process.environment import CALL_MARK, child_environment
from ml_intern.execution.tool import ToolContext
from ml_intern.net.hub_identity import get_hub_token

SECONDS = 12 * 3600.0
_MODULE = "ml_intern.tools.hub.transfer_child"


async def transferred(work: str, arguments: Mapping[str, Any], about: str, context: ToolContext) -> dict[str, Any]:
    """What the child says when it is done. Cancelled meanwhile, the child ends at once.

    Raises:
        ToolError: what the Hub or its library said against it, or the child died.
    """
    asked = {"work": work, "arguments": dict(arguments), "about": about, "token": await get_hub_token()}
    inherited = await asyncio.to_thread(child_environment, os.environ)
    environment = {**inherited, "HF_ENDPOINT": hub_url(), CALL_MARK: context.mark}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-m", _MODULE,
        stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=environment, start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(SECONDS):
            return await _attended(process, asked, context)
    except TimeoutError as error:
        raise ToolError(
            f"{work} of {about} did not end within {SECONDS / 3600:g} h; it may have gone in part"
        ) from error
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):  # process.kill() may take the exit from who waits for it
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def announce(context: ToolContext, text: str) -> None:
    """Show a line of what is going on."""
    context.emit("tool_log", id=context.call_id, name="hub_repos", text=f"{text}\n")


async def _attended(process: Process, asked: Mapping[str, Any], context: ToolContext) -> dict[str, Any]:
    requests, answers = process.stdin, process.stdout
    if requests is None or answers is None:
        raise RuntimeError("the process has no pipes")
    with suppress(ConnectionError):  # a child that died says so by its silence
        requests.write(json.dumps(asked).encode() + b"\n")
        await requests.drain()
    async for line in answers:
        said = json.loads(line)
        if "done" in said:
            return dict(said["done"])
        if "fault" in said:
            raise ToolError(said["fault"])
        if "broken" in said:
            raise RuntimeError(said["broken"])
        announce(context, said["log"])
    code = await process.wait()
    raise ToolError(
        f"the {asked['work']} of {asked['about']} ended in the middle (exit code {code}); it may have gone in part"
    )
