"""Run the transfer process, forward its log, and kill it when the call is cancelled."""

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


async def run_transfer(work: str, arguments: Mapping[str, Any], about: str, context: ToolContext) -> dict[str, Any]:
    """Run a transfer in a child process and return its result. When cancelled, the child is killed at once.

    Raises:
        ToolError: the Hub or its library reported an error, or the child died.
    """
    request = {"work": work, "arguments": dict(arguments), "about": about, "token": await get_hub_token()}
    inherited = await asyncio.to_thread(child_environment, os.environ, sandboxed=False)
    environment = {**inherited, "HF_ENDPOINT": hub_url(), CALL_MARK: context.mark}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-m", _MODULE,
        stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=environment, start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(SECONDS):
            return await _supervise(process, request, context)
    except TimeoutError as error:
        raise ToolError(
            f"the {work} of {about} did not finish within {SECONDS / 3600:g} h; it may be incomplete"
        ) from error
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):  # process.kill() could reap the process before wait()
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def announce(context: ToolContext, text: str) -> None:
    """Emit a line of progress."""
    context.emit("tool_log", id=context.call_id, name="hub_repos", text=f"{text}\n")


async def _supervise(process: Process, request: Mapping[str, Any], context: ToolContext) -> dict[str, Any]:
    stdin, stdout = process.stdin, process.stdout
    if stdin is None or stdout is None:
        raise RuntimeError("the process has no pipes")
    with suppress(ConnectionError):  # the child died; its exit code is reported below
        stdin.write(json.dumps(request).encode() + b"\n")
        await stdin.drain()
    async for line in stdout:
        message = json.loads(line)
        if "done" in message:
            return dict(message["done"])
        if "error" in message:
            raise ToolError(message["error"])
        if "bug" in message:
            raise RuntimeError(message["bug"])
        announce(context, message["log"])
    code = await process.wait()
    raise ToolError(
        f"the {request['work']} of {request['about']} was interrupted (exit code {code}); it may be incomplete"
    )
