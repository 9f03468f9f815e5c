"""`acp`: serve an editor by the Agent Client Protocol, on the standard streams."""

import asyncio
import sys
from importlib.util import find_spec
from typing import Any

from ml_intern.commands.failure import report_line
from ml_intern.commands.options import MODEL_OPTIONS, Options, takes_options
from ml_intern.commands.serving.signals import first_signal
from ml_intern.configs.errors import ConfigurationError, UsageError
from ml_intern.configs.version import install_hint

MODE_OPTIONS = ("approval_mode", "yolo", "sandbox", "tool_runtime", "sandbox_tools", "add_dir")
LIMIT_OPTIONS = ("max_iterations", "max_budget_usd", "strict_budget")


@takes_options(*MODEL_OPTIONS, "config", "set_", "trust", *MODE_OPTIONS, *LIMIT_OPTIONS)
def acp(*, options: Options) -> int:
    """Serve an editor that speaks the Agent Client Protocol, such as Zed. The editor starts this command.

    The options apply to all its sessions. The end of stdin closes them; the threads can be resumed.
    """
    if find_spec("acp") is None:
        raise ConfigurationError("the package agent-client-protocol is not installed", install_hint("acp"))
    if sys.stdin is not None and sys.stdin.isatty():
        raise UsageError("an editor starts this command, not a person at a terminal", "see docs/editors.md")
    return asyncio.run(_serve(options))


async def _serve(options: Options) -> int:
    """Serve until the input ends or a signal arrives, and close the sessions. Return the exit code."""
    from ml_intern.server.acp.serve import serve_editor

    stopped = first_signal()
    serving = asyncio.ensure_future(serve_editor(options.request(), report_line))
    ends: list[asyncio.Future[Any]] = [serving, stopped]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if not stopped.done():
        serving.result()
        return 0
    serving.cancel()
    await asyncio.wait({serving})
    return stopped.result()
