"""The states of all runs on one machine, asked in one request."""

import asyncio
import time
from typing import Any

from ml_intern.runs.remote.connection import FarSide

FRESH_SECONDS = 1.0
GATHER_SECONDS = 0.03
"""A request is sent when no question about another run came for this long."""
MAX_GATHERS = 20


class StatusRequests:
    """Answers questions about the runs of a machine. Questions at about the same time share one request."""

    def __init__(self, far_side: FarSide) -> None:
        self._far_side = far_side
        self._open: set[str] = set()
        """The runs that somebody asked about and that have not ended."""
        self._answer: dict[str, Any] = {}
        self._time = -FRESH_SECONDS
        self._request: asyncio.Task[None] | None = None

    async def status(self, id: str) -> dict[str, Any] | None:
        """Return the status of a run, at most a second old; None if it never started there.

        Raises TemporaryError and ToolError.
        """
        while id not in self._answer or self._is_old():
            self._open.add(id)
            if self._request is None:
                self._request = asyncio.create_task(self._ask())
            await asyncio.shield(self._request)
        found: dict[str, Any] | None = self._answer[id]
        return found

    def forget(self) -> None:
        """Ask again at the next question."""
        self._answer = {}

    def _is_old(self) -> bool:
        return time.monotonic() - self._time > FRESH_SECONDS

    async def _ask(self) -> None:
        try:
            await self._gather()
            asked = sorted(self._open)
            order = {"ids": asked, "squeue_s": self._far_side.target.squeue_s}
            answer = (await self._far_side.call("states", order))["runs"]
            self._open -= {id for id in asked if answer[id] is None or "finished" in answer[id]}
            self._answer, self._time = answer, time.monotonic()
        finally:
            self._request = None

    async def _gather(self) -> None:
        """Wait until no more runs are asked about."""
        for _ in range(MAX_GATHERS):
            known = len(self._open)
            await asyncio.sleep(GATHER_SECONDS)
            if len(self._open) == known:
                return
