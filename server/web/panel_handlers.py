"""The handlers of what a thread's page reads when it is opened: panels, previews and exports, and of forks."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from ml_intern.configs.errors import UsageError
from ml_intern.configs.layers import load
from ml_intern.outbound.exporting.pictures import pictures_of
from ml_intern.server.web.numbers import whole_number
from ml_intern.server.web.operations import turns_of
from ml_intern.server.web.pages.layout import PageFrame
from ml_intern.server.web.pages.panels import (
    evidence_panel,
    files_panel,
    fork_preview,
    history_panel,
    runs_panel,
    undo_preview,
)
from ml_intern.server.web.pages.settings import settings_page
from ml_intern.server.web.requests import form_of
from ml_intern.server.web.watching.registry import Registry
from ml_intern.server.web.watching.watched import WatchedThread
from ml_intern.session.opening.shown_settings import shown_settings

SUFFIXES = {"html": "html", "markdown": "md"}


class Panels:
    """The handlers."""

    def __init__(self, registry: Registry, frame: PageFrame) -> None:
        self._registry, self._reader, self._frame = registry, registry.reader, frame
        self._panels: dict[str, Callable[[WatchedThread], Awaitable[str]]] = {
            "runs": self._runs,
            "files": self._files,
            "evidence": self._evidence,
            "history": self._history,
        }

    async def panel(self, request: Request) -> Response:
        """One panel."""
        make = self._panels.get(request.path_params["name"])
        if make is None:
            raise UsageError("there is no such panel", "reload the page")
        return HTMLResponse(await make(await self._thread(request)))

    async def preview(self, request: Request) -> Response:
        """The effect of an undo or a fork."""
        thread, given = await self._thread(request), request.query_params
        if given.get("do") == "fork":
            turns = await self._reader.get(thread.thread_id, "turns")
            chosen = next((turn for turn in turns if str(turn["number"]) == given.get("turn")), None)
            if chosen is None:
                raise UsageError("there is no such turn", "reload the page")
            return HTMLResponse(fork_preview(_url(thread), chosen))
        if thread.state.status == "running":
            raise UsageError("a turn is running", "stop it, or wait until it ends")
        turns = turns_of(given)
        preview = await self._reader.get(thread.thread_id, "preview_undo", turns=turns)
        return HTMLResponse(undo_preview(_url(thread), preview, turns))

    async def fork(self, request: Request) -> Response:
        """Copy a thread up to a turn, and open the copy."""
        thread, form = await self._thread(request), await form_of(request)
        turn = whole_number(form.get("turn", ""))
        if turn is None:
            raise UsageError("the number of the turn is missing", "reload the page")
        id = await self._reader.request("fork", thread=thread.thread_id, turn=turn)
        return Response(status_code=204, headers={"HX-Redirect": f"/t/{id}"})

    async def export(self, request: Request) -> Response:
        """A thread in an export format, as a file."""
        thread, name = await self._thread(request), request.path_params["format"]
        text = await self._registry.export(thread.thread_id, name)
        file = f'attachment; filename="thread.{SUFFIXES.get(name, "json")}"'
        return Response(text, media_type="application/octet-stream", headers={"content-disposition": file})

    async def settings(self, _: Request) -> Response:
        """The settings in effect."""
        loaded = await asyncio.to_thread(load, Path.cwd())
        return HTMLResponse(settings_page(self._frame, shown_settings(loaded), loaded.notes))

    async def _thread(self, request: Request) -> WatchedThread:
        return await self._registry.get(request.path_params["id"])

    async def _runs(self, thread: WatchedThread) -> str:
        return runs_panel(await self._reader.request("runs", thread=thread.thread_id))

    async def _files(self, thread: WatchedThread) -> str:
        conversation = await self._reader.conversation(thread.thread_id)
        return files_panel(thread.timeline, await asyncio.to_thread(pictures_of, conversation))

    async def _evidence(self, thread: WatchedThread) -> str:
        return evidence_panel(await self._reader.get(thread.thread_id, "evidence"))

    async def _history(self, thread: WatchedThread) -> str:
        turns = await self._reader.get(thread.thread_id, "turns")
        return history_panel(_url(thread), turns, thread.state.mode)


def _url(thread: WatchedThread) -> str:
    return f"/t/{thread.thread_id}"
