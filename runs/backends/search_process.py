"""Searches for a better metric as background runs: `ml-intern improve`, each in a process of its own."""

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ml_intern.configs.errors import UsageError
from ml_intern.execution.call import ToolError
from ml_intern.execution.process.environment import CALL_MARK
from ml_intern.execution.tool import ToolContext
from ml_intern.models.secrets import known_secrets
from ml_intern.runs.backends.base import RunPlan, RunStatus
from ml_intern.runs.backends.local import LocalBackend
from ml_intern.runs.run_folder import LOG

if TYPE_CHECKING:
    from ml_intern.store.store import Store

_STARTED: Final = re.compile(r"\bsearch ([0-9a-f]{8})\b")
_HEAD: Final = 2_000
_END_SECONDS: Final = 24 * 3600.0
"""How long a search may take after its time limit, to run its best attempts again."""


class SearchProcesses(LocalBackend):
    """Searches on this machine. The command of a plan is the arguments of `ml-intern improve`.

    The process is not sandboxed: it calls the model, and sandboxes what its attempts run.
    """

    def __init__(self, store: "Store") -> None:
        super().__init__(store.home)
        self._store = store

    async def complete(self, plan: RunPlan, _context: ToolContext, /) -> RunPlan:
        """Refuse the plan: only the tool improve makes plans of searches."""
        raise ToolError(f"the backend {plan.backend} is for searches; use the tool improve")

    async def order(self, plan: RunPlan, id: str, context: ToolContext, _folder: Path, /) -> dict[str, Any]:
        """Return the order for the supervisor. It contains the keys of the models and is sent through a pipe only."""
        environment = {name: value for name, value in os.environ.items() if name != CALL_MARK}
        return {
            "id": id,
            "argv": [sys.executable, "-I", "-m", "ml_intern", "improve", *plan.command],
            "folder": str(plan.workdir),
            "environment": environment,
            "further": {},
            "known_secrets": known_secrets(plan.workdir),
            "limit_s": plan.limit_s + _END_SECONDS,
            "slots": 0,
            "launched_with": context.taint,
            "read": [],
            "roots": [],
            "sandbox": None,
        }

    async def inspect(self, handle: str) -> RunStatus:
        """Return the status of the process, with what the search has spent."""
        status = await super().inspect(handle)
        return replace(status, cost_usd=await self._spent(handle))

    async def _spent(self, handle: str) -> float | None:
        """Return the cost of a search by the id in its first lines: 0 if it did not start, None if it is unknown."""
        log = Path(json.loads(handle)["folder"]) / LOG
        head = log.read_text(encoding="utf-8", errors="replace")[:_HEAD] if log.is_file() else ""
        if (found := _STARTED.search(head)) is None:
            return 0.0
        try:
            row = await self._store.searches.get(found[1])
        except UsageError:  # it was deleted
            return None
        body: Mapping[str, Any] = json.loads(row.body)
        spent = body["spent_usd"]
        return None if spent is None else float(spent)
