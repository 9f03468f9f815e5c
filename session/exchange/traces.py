"""Threads as traces on the Hub, when the user said so: at the end of a session, what failed before first of all."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ml_intern.configs.errors import MLInternError, TemporaryError, UsageError
from ml_intern.configs.settings import Settings
from ml_intern.execution.call import ToolError
from ml_intern.net.hub import call_hub
from ml_intern.net.hub_identity import get_hub_token
from ml_intern.outbound.traces import render_trace, set_visibility, trace_path, trace_repository, upload_trace
from ml_intern.session.exchange.export import conversation_of

if TYPE_CHECKING:
    from ml_intern.session.turns.turns import Turns
    from ml_intern.store.store import Store

FILE = "traces_pending.json"
MAX_AT_ONCE = 20
SECONDS = 30.0


class Traces:
    """Uploads to one dataset. `pending` outlives the process: what failed is tried again by the next session."""

    def __init__(self, home: Path, settings: Settings) -> None:
        self._file = home / FILE
        self._template = settings.personal_trace_repo_template or ""
        self._public = settings.share_traces == "public"

    def pending(self) -> list[str]:
        """Threads that are to be uploaded, oldest first."""
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return []
        return [str(id) for id in found] if isinstance(found, list) else []

    def add(self, thread_id: str) -> None:
        """Remember that a thread is to be uploaded."""
        self._keep([*(id for id in self.pending() if id != thread_id), thread_id])

    def _keep(self, ids: Sequence[str]) -> None:
        self._file.write_text(json.dumps(list(ids)), encoding="utf-8")

    async def repository(self) -> str:
        """The dataset's id. Raises ToolError without a token or an answer of the Hub."""
        if not self._template:
            raise UsageError("personal_trace_repo_template is empty", "set it to {hf_user}/ml-intern-sessions")
        if not await get_hub_token():
            raise ToolError("there is no Hugging Face token")
        account = await call_hub(lambda api: api.whoami(), "the account", seconds=SECONDS)
        return trace_repository(self._template, str(account["name"]))

    async def upload(self, turns: "Turns", repository: str) -> str:
        """Upload a thread as it stands, replacing what is there; its address.

        Raises:
            MLInternError: a secret is left in it, or the dataset is public against the user's word.
            ToolError: what the Hub says.
        """
        row = await turns.services.store.threads.find(turns.thread_id)
        conversation = await conversation_of(turns, row)
        path, content, public = trace_path(conversation), render_trace(conversation), self._public
        return await call_hub(
            lambda api: upload_trace(api, repository, path, content, public=public),
            f"dataset {repository}",
            seconds=SECONDS,
        )

    async def upload_now(self, turns: "Turns") -> str:
        """Upload a thread; the path of its dataset and file on the Hub. Raises UsageError, TemporaryError."""
        try:
            return await self.upload(turns, await self.repository())
        except ToolError as error:
            raise TemporaryError(f"the trace was not uploaded: {error}") from error

    async def upload_pending(self, store: "Store", turns: "Turns") -> list[str]:
        """Upload what waits; a line for what could not be. Nothing is raised: a session ends all the same."""
        ids = self.pending()[:MAX_AT_ONCE]
        if not ids:
            return []
        try:
            repository = await self.repository()
        except (MLInternError, ToolError) as error:
            return [f"traces are not uploaded: {error}"]
        lines: list[str] = []
        for id in ids:
            if await store.threads.get(id) is not None:
                try:
                    await self.upload(replace(turns, thread_id=id), repository)
                except ToolError as fault:
                    return [*lines, f"the trace of {id[:8]} is not uploaded: {fault}; the next session tries again"]
                except MLInternError as error:
                    lines.append(f"the trace of {id[:8]} is not uploaded: {error}")
            self._keep([one for one in self.pending() if one != id])
        return lines

    async def make(self, *, public: bool) -> str:
        """Make the dataset public or private, where there is one; its id. Raises UsageError, TemporaryError."""
        try:
            repository = await self.repository()
            await call_hub(
                lambda api: set_visibility(api, repository, public=public), f"dataset {repository}", seconds=SECONDS
            )
        except ToolError as error:
            raise TemporaryError(str(error)) from error
        return repository
