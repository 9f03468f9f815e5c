"""Serve an editor on the standard streams of this process."""

import logging
from collections.abc import Callable
from typing import cast

from acp import run_agent
from acp.interfaces import Agent

from ml_intern.server.acp.agent import EditorAgent
from ml_intern.session.opening.request import SessionRequest
from ml_intern.session.wire.stdio import StandardStreams

MAX_LINE = 50 * 1024 * 1024
"""Length of a line that an editor may send, in bytes: prompts contain images."""


class _Line(logging.Handler):
    """Reports the log of the protocol's package, each record in one line."""

    def __init__(self, report: Callable[[str], object]) -> None:
        super().__init__(logging.WARNING)
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        """Report one record, without its traceback."""
        cause = record.exc_info[1] if record.exc_info else None
        self._report(record.getMessage() + (f": {cause}" if cause else ""))


async def serve_editor(request: SessionRequest, report: Callable[[str], object]) -> None:
    """Serve an editor until the input ends, then close its sessions. Messages for people go to `report`."""
    logging.getLogger().addHandler(_Line(report))
    streams = StandardStreams.take()
    reader, writer = await streams.open(MAX_LINE)
    agent = EditorAgent(request, report)
    try:  # the methods of the protocol that EditorAgent lacks are answered as unknown
        await run_agent(cast(Agent, agent), writer, reader, use_unstable_protocol=True)
    finally:
        await agent.close()
        writer.close()
        await streams.close()
