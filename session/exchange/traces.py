"""Upload threads as traces to the Hub if the user agreed. Failed uploads are retried at the end of a session."""

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
    """Uploads to one dataset. The list of pending uploads is saved, so the next session retries failed ones."""

    def __init__(self, home: Path, settings: Settings) -> None:
        self._file = home / FILE
        self._template = settings.personal_trace_repo_template or ""
        self._public = settings.share_traces == "public"

    def pending(self) -> list[str]:
        """Return the ids of the threads to upload, oldest first."""
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return []
        return [str(id) for id in found] if isinstance(found, list) else []

    def add(self, thread_id: str) -> None:
        """Add a thread to the pending uploads."""
        self._save([*(id for id in self.pending() if id != thread_id), thread_id])

    def _save(self, ids: Sequence[str]) -> None:
        self._file.write_text(json.dumps(list(ids)), encoding="utf-8")

    async def repository(self) -> str:
        """Return the dataset's id. Raises ToolError without a token or if the Hub does not answer."""
        if not self._template:
            raise UsageError("personal_trace_repo_template is empty", "set it to {hf_user}/ml-intern-sessions")
        if not await get_hub_token():
            raise ToolError("no Hugging Face token found: set HF_TOKEN, or sign in with `hf auth login`")
        account = await call_hub(lambda api: api.whoami(), "the account", seconds=SECONDS)
        return trace_repository(self._template, str(account["name"]))

    async def upload(self, turns: "Turns", repository: str) -> str:
        """Upload a thread, replacing its earlier trace, and return the trace's address.

        Raises:
            MLInternError: the trace contains a secret, or the dataset is public although the setting is private.
            ToolError: the Hub reports an error.
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
        """Upload a thread and return its address on the Hub. Raises UsageError or TemporaryError."""
        try:
            return await self.upload(turns, await self.repository())
        except ToolError as error:
            raise TemporaryError(f"the trace was not uploaded: {error}") from error

    async def upload_pending(self, store: "Store", turns: "Turns") -> list[str]:
        """Upload the pending threads and return one line per failure. No error is raised, so the session can end."""
        ids = self.pending()[:MAX_AT_ONCE]
        if not ids:
            return []
        try:
            repository = await self.repository()
        except (MLInternError, ToolError) as error:
            return [f"traces were not uploaded: {error}"]
        lines: list[str] = []
        for id in ids:
            if await store.threads.get(id) is not None:
                try:
                    await self.upload(replace(turns, thread_id=id), repository)
                except ToolError as error:
                    return [*lines, f"the trace of {id[:8]} was not uploaded: {error}. The next session retries it."]
                except MLInternError as error:
                    lines.append(f"the trace of {id[:8]} was not uploaded: {error}")
            self._save([one for one in self.pending() if one != id])
        return lines

    async def change_visibility(self, *, public: bool) -> str:
        """Make an existing dataset public or private and return its id. Raises UsageError or TemporaryError."""
        try:
            repository = await self.repository()
            await call_hub(
                lambda api: set_visibility(api, repository, public=public), f"dataset {repository}", seconds=SECONDS
            )
        except ToolError as error:
            raise TemporaryError(str(error)) from error
        return repository
