"""EditorSession: one thread in an editor. Its events become updates, its approvals become permissions."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from acp import RequestError
from acp.interfaces import Client
from acp.schema import SessionMode, SessionModeState, StopReason

from ml_intern.configs.errors import MLInternError, UsageError
from ml_intern.graph.events import Event
from ml_intern.graph.limits import ApprovalMode
from ml_intern.graph.operations import Decision, ExecApproval, Interrupt, SetMode
from ml_intern.server.acp.permissions import Request, asked_call, decision_of, options_of
from ml_intern.server.acp.prompts import Block, user_input
from ml_intern.server.acp.updates import Update, UpdatesOfSession, title_update
from ml_intern.session.protocol import Session, TurnEnd

STOPS: dict[str, StopReason] = {"limit": "max_turn_requests", "interrupted": "cancelled", "stopped": "cancelled"}
"""The reasons of the protocol by the status of a turn's end; "end_turn" for all others."""
MODES: dict[ApprovalMode, tuple[str, str]] = {
    "ask": ("Ask", "Ask before anything that changes files, runs commands or costs money"),
    "accept-edits": ("Accept edits", "Change files of the folder without asking"),
    "auto": ("Auto", "Run sandboxed commands without asking; refuse what would need an approval"),
    "plan": ("Plan", "Read and plan, change nothing"),
    "yolo": ("Yolo", "Ask nothing, except about what is always denied"),
}


class EditorSession:
    """Follows a session for one client of the protocol. `name` is shown to other clients of the thread."""

    def __init__(self, id: str, session: Session, client: Client, name: str) -> None:
        self.id = id
        self._session, self._client, self._name = session, client, name
        self._workspace = Path(session.options.workspace)
        self._updates = UpdatesOfSession(self._workspace, name)
        self._turn = asyncio.Lock()
        self._asking: asyncio.Task[None] | None = None
        self._answering: asyncio.Task[None] | None = None
        """The task that has the editor's answers and submits them, which is not cancelled any more."""
        self._answered = 0
        self._mode: ApprovalMode = session.options.approval_mode

    def modes(self) -> SessionModeState:
        """Return the approval modes, and the current one."""
        known = [SessionMode(id=id, name=name, description=about) for id, (name, about) in MODES.items()]
        return SessionModeState(current_mode_id=self._mode, available_modes=known)

    async def set_mode(self, mode: str) -> None:
        """Change the approval mode. Raises UsageError."""
        known = next((one for one in MODES if one == mode), None)
        if known is None:
            raise UsageError(f"there is no mode {mode[:50]!r}", f"the modes are {', '.join(MODES)}")
        await self._session.submit(SetMode(known))
        self._mode = known

    async def replay(self) -> None:
        """Send the earlier messages of the thread."""
        await self._send(self._updates.replay(await self._session.history()))

    async def follow(self) -> None:
        """Send what happens, until the session ends."""
        with suppress(MLInternError):  # the process that runs the thread has ended: the next prompt reports it
            async for event in self._session.events():
                await self._send(self._updates.of(event))
                self._take(event)
        self._stop_asking()

    async def prompt(self, blocks: Sequence[Block]) -> StopReason:
        """Send a message and wait for the end of its turn. Raises MLInternError, or RequestError if it failed."""
        message = user_input(blocks, self._session.expand_mentions)
        async with self._turn:
            self._updates.own.add(message.id)
            await self._session.submit(message)
            await self._rest()
            await self._send_title()
            return _stop_reason(self._session.end)

    async def cancel(self) -> None:
        """Stop the running turn."""
        self._stop_asking()
        with suppress(MLInternError):
            await self._session.submit(Interrupt())

    # --- events

    def _take(self, event: Event) -> None:
        if event.type == "approval_required":
            self._stop_asking()
            self._asking = asyncio.create_task(self._ask(event.data["requests"]))
        elif event.type in ("approval_answered", "interrupted", "processing"):
            self._stop_asking()

    async def _send(self, updates: Iterable[Update]) -> None:
        for update in updates:
            with suppress(ConnectionError):  # the editor is gone; the session is closed for that
                await self._client.session_update(self.id, update)

    async def _send_title(self) -> None:
        row = await self._session.row()
        if row is not None and row.title:
            with suppress(ConnectionError):
                await self._client.session_update(self.id, title_update(row.title))

    async def _rest(self) -> None:
        """Wait until nothing runs and nothing is asked."""
        while True:
            answered = self._answered
            await self._session.idle()
            if tasks := {task for task in (self._asking, self._answering) if task is not None}:
                await asyncio.wait(tasks)
            elif answered == self._answered:  # no answer was submitted meanwhile, which continues the turn
                return

    # --- approvals

    def _stop_asking(self) -> None:
        """Wait no longer for the editor's answer: the turn is stopped, or another client has answered."""
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    async def _ask(self, requests: Sequence[Request]) -> None:
        """Ask the editor about each request and answer them together."""
        decisions: dict[str, Decision] = {}
        for request in requests:
            decision = await self._answer(request)
            if decision is None:
                self._asking = None
                await self.cancel()
                return
            decisions[request["id"]] = decision
        self._asking, self._answering = None, self._asking  # an event about the answer must not cancel this task
        try:
            with suppress(UsageError):  # another client answered first, which its event says
                await self._session.submit(ExecApproval(decisions, by=self._name))
        finally:
            self._answering = None
            self._answered += 1

    async def _answer(self, request: Request) -> Decision | None:
        """Return the editor's decision; None if it ends the turn or cannot answer."""
        try:
            reply = await self._client.request_permission(
                self.id, asked_call(request, self._workspace), options_of(request)
            )
        except (RequestError, ConnectionError):
            return None
        return decision_of(reply.outcome)


def _stop_reason(end: TurnEnd | None) -> StopReason:
    if end is not None and end.status == "failed":
        raise RequestError(-32603, end.text, {"exit_code": end.exit_code})
    return STOPS.get(end.status, "end_turn") if end is not None else "cancelled"


def error_for(error: MLInternError) -> RequestError:
    """Return an error as the protocol transmits it."""
    code = -32602 if isinstance(error, UsageError) else -32603
    data: dict[str, Any] = {"remedy": error.remedy, "exit_code": error.exit_code}
    return RequestError(code, str(error), data)
