"""EditorAgent: the methods that an editor calls. Sessions of the protocol are threads, with the same ids."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from acp import PROTOCOL_VERSION, RequestError
from acp.interfaces import Client
from acp.schema import (
    AgentCapabilities,
    CloseSessionResponse,
    ForkSessionResponse,
    Implementation,
    InitializeResponse,
    ListSessionsResponse,
    LoadSessionResponse,
    McpCapabilities,
    NewSessionResponse,
    PromptCapabilities,
    PromptResponse,
    ResumeSessionResponse,
    SessionAdditionalDirectoriesCapabilities,
    SessionCapabilities,
    SessionCloseCapabilities,
    SessionForkCapabilities,
    SessionInfo,
    SessionListCapabilities,
    SessionResumeCapabilities,
    SetSessionModeResponse,
)

from ml_intern.configs.errors import MLInternError, UsageError
from ml_intern.configs.paths import data_home, private_folder
from ml_intern.configs.version import version
from ml_intern.safety.error_log import log_error
from ml_intern.server.acp.prompts import Block
from ml_intern.server.acp.servers import EditorServer, server_assignments
from ml_intern.server.acp.session import EditorSession, error_for
from ml_intern.server.acp.sessions import OpenSessions
from ml_intern.session.opening.request import SessionRequest
from ml_intern.session.threads import open_threads

NOT_FOUND = -32002
"""The protocol's code of an error about a resource that does not exist."""
MAX_LISTED = 200
MAX_NAME = 60
CAPABILITIES = AgentCapabilities(
    load_session=True,
    prompt_capabilities=PromptCapabilities(image=True, embedded_context=True),
    mcp_capabilities=McpCapabilities(http=True),
    session_capabilities=SessionCapabilities(
        list=SessionListCapabilities(),
        resume=SessionResumeCapabilities(),
        fork=SessionForkCapabilities(),
        close=SessionCloseCapabilities(),
        additional_directories=SessionAdditionalDirectoriesCapabilities(),
    ),
)
P = ParamSpec("P")
T = TypeVar("T")
Servers = list[EditorServer] | None
Folders = list[str] | None


def answered(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Make a method raise the errors of the program as those of the protocol. Unexpected ones go to the log."""

    @wraps(method)
    async def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await method(*args, **kwargs)
        except RequestError:
            raise
        except MLInternError as error:
            raise error_for(error) from error
        except Exception as error:
            raise error_for(log_error(private_folder(data_home()), "(none)", error)) from error

    return wrapped


class EditorAgent:
    """Serves one editor. `request` are the options of every session; `report` shows the user one line."""

    def __init__(self, request: SessionRequest, report: Callable[[str], object]) -> None:
        self._request = request
        self._open = OpenSessions(report)
        self._sessions: dict[str, EditorSession] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._name = "editor"
        self._client: Client

    def on_connect(self, conn: Client) -> None:
        """Take the connection to the editor."""
        self._client = conn

    async def close(self) -> None:
        """Close all sessions. Their threads can be resumed."""
        await self._open.close_all()
        await asyncio.gather(*self._tasks)

    @answered
    async def initialize(self, protocol_version: int, client_info: Any = None, **_: Any) -> InitializeResponse:
        """Answer with the version of the protocol and what this agent can do."""
        if isinstance(client_info, Implementation) and client_info.name.strip():
            self._name = client_info.name.strip()[:MAX_NAME]
        return InitializeResponse(
            protocol_version=min(protocol_version, PROTOCOL_VERSION) or PROTOCOL_VERSION,
            agent_capabilities=CAPABILITIES,
            agent_info=Implementation(name="ml-intern", title="ml-intern", version=version()),
            auth_methods=[],
        )

    @answered
    async def new_session(
        self, cwd: str, additional_directories: Folders = None, mcp_servers: Servers = None, **_: Any
    ) -> NewSessionResponse:
        """Start a thread in a folder."""
        session = await self._start(self._for(cwd, mcp_servers, additional_directories))
        return NewSessionResponse(session_id=session.id, modes=session.modes())

    @answered
    async def load_session(
        self,
        cwd: str,
        session_id: str,
        mcp_servers: Servers = None,
        additional_directories: Folders = None,
        **_: Any,
    ) -> LoadSessionResponse:
        """Open a thread and send its messages."""
        request = self._for(cwd, mcp_servers, additional_directories, thread=session_id)
        return LoadSessionResponse(modes=(await self._start(request, replay=True)).modes())

    @answered
    async def resume_session(
        self,
        session_id: str,
        cwd: str,
        additional_directories: Folders = None,
        mcp_servers: Servers = None,
        **_: Any,
    ) -> ResumeSessionResponse:
        """Open a thread without sending its messages."""
        request = self._for(cwd, mcp_servers, additional_directories, thread=session_id)
        return ResumeSessionResponse(modes=(await self._start(request)).modes())

    @answered
    async def fork_session(
        self,
        session_id: str,
        cwd: str,
        additional_directories: Folders = None,
        mcp_servers: Servers = None,
        **_: Any,
    ) -> ForkSessionResponse:
        """Continue in a copy of a thread."""
        request = replace(self._for(cwd, mcp_servers, additional_directories, thread=session_id), fork=True)
        session = await self._start(request)
        return ForkSessionResponse(session_id=session.id, modes=session.modes())

    @answered
    async def list_sessions(self, cwd: str | None = None, **_: Any) -> ListSessionsResponse:
        """List the threads of a folder, or of all folders, last used first."""
        async with open_threads(lambda _message, _remedy: None) as threads:
            rows = await threads.list(cwd, MAX_LISTED)
        return ListSessionsResponse(
            sessions=[
                SessionInfo(session_id=row.id, cwd=row.folder, title=row.title, updated_at=_iso(row.updated))
                for row in rows
                if row.folder
            ]
        )

    @answered
    async def close_session(self, session_id: str, **_: Any) -> CloseSessionResponse:
        """Close a thread."""
        self._find(session_id)
        del self._sessions[session_id]
        await self._open.close(session_id)
        return CloseSessionResponse()

    @answered
    async def set_session_mode(self, session_id: str, mode_id: str, **_: Any) -> SetSessionModeResponse:
        """Change the approval mode of a session."""
        await self._find(session_id).set_mode(mode_id)
        return SetSessionModeResponse()

    @answered
    async def prompt(self, session_id: str, prompt: list[Block], **_: Any) -> PromptResponse:
        """Run a turn and answer with the reason for its end."""
        return PromptResponse(stop_reason=await self._find(session_id).prompt(prompt))

    async def cancel(self, session_id: str, **_: Any) -> None:
        """Stop the running turn of a session."""
        if session_id in self._sessions:
            await self._sessions[session_id].cancel()

    # --- sessions

    def _for(
        self, cwd: str, servers: Servers, folders: Sequence[str] | None, thread: str | None = None
    ) -> SessionRequest:
        """Return the request for a session in a folder, with the servers of the editor."""
        return replace(
            self._request,
            folder=cwd,
            thread=thread,
            add_dirs=(*self._request.add_dirs, *(folders or ())),
            assignments=(*self._request.assignments, *server_assignments(servers or ())),
        )

    async def _start(self, request: SessionRequest, *, replay: bool = False) -> EditorSession:
        """Open a session. Its events are sent from the next step of the loop on, after the reply to the request."""
        if request.thread is not None:
            await _check_thread(request.thread)
        if request.thread in self._sessions and not request.fork:
            del self._sessions[request.thread]
            await self._open.close(request.thread)
        opened = await self._open.open(request, self._name)
        session = EditorSession(opened.session.thread_id, opened.session, self._client, self._name)
        self._sessions[session.id] = session
        if replay:
            await session.replay()
        task = asyncio.create_task(session.follow())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return session

    def _find(self, id: str) -> EditorSession:
        if id not in self._sessions:
            raise RequestError(NOT_FOUND, f"no session {id[:100]!r} is open; load it first")
        return self._sessions[id]


async def _check_thread(id: str) -> None:
    """Raise the error of the protocol if there is no thread with exactly this id, so that editors start another one."""
    async with open_threads(lambda _message, _remedy: None) as threads:
        with suppress(UsageError):
            if (await threads.find(id)).id == id:
                return
    raise RequestError(NOT_FOUND, f"there is no thread {id[:100]!r}: without a message, a session is not saved")


def _iso(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat()
