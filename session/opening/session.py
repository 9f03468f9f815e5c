"""Open a session with its settings, store, models, tools and servers, and clean up when it ends."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ml_intern.configs.errors import SandboxMissing, UsageError
from ml_intern.configs.paths import data_home
from ml_intern.configs.settings import Settings, TerminalSettings
from ml_intern.graph.context import REMOTE_SANDBOX, RunOptions
from ml_intern.models.routing import hub_token
from ml_intern.models.secrets import register_secrets
from ml_intern.session.opening.continuation import saved_options, with_saved_options
from ml_intern.session.opening.hub_holdout import with_fetched_holdout
from ml_intern.session.opening.model import endpoint_of, model_of
from ml_intern.session.opening.options import as_run_options, load_settings, working_folder
from ml_intern.session.opening.request import SessionRequest
from ml_intern.session.opening.store import open_store
from ml_intern.session.remote.servers import SavedServer, chosen_server
from ml_intern.session.wire.attaching import attach, is_served

if TYPE_CHECKING:
    from ml_intern.execution.tool import ToolSpec
    from ml_intern.session.agent import AgentSession
    from ml_intern.session.event_queue import EventQueue
    from ml_intern.session.protocol import Session
    from ml_intern.session.team.shared import SharedThread
    from ml_intern.store.store import Store
    from ml_intern.store.threads import ThreadRow

HOME_VARIABLE = "ML_INTERN_HOME"


@dataclass(frozen=True)
class Interface:
    """Callbacks for questions and messages before the session sends events."""

    report: Callable[[str], object]
    """Show the user one line."""
    ask_trust: Callable[[Path], Awaitable[None]] | None = None
    """Ask about the working folder before its settings are read."""
    attach_as: str = ""
    """The name of this interface if it may attach to a thread that another process runs."""


@dataclass(frozen=True)
class Opened:
    """An open session and its context."""

    session: "Session"
    home: Path
    saved: bool
    """Whether the thread is saved when the session ends."""
    signed_in: bool
    """Whether a Hugging Face token is available."""
    terminal: TerminalSettings
    shared: "SharedThread | None" = None
    """The recording of events and the posted operations, on a database that several machines use."""


def load() -> None:
    """Import what `open_session` needs, so that it opens at once afterwards."""
    import ml_intern.outbound.notifications.notifier
    import ml_intern.runs.backends.hub_sandbox
    import ml_intern.session.agent
    import ml_intern.session.opening.services
    import ml_intern.tools.registry  # noqa: F401


@asynccontextmanager
async def open_session(request: SessionRequest, interface: Interface) -> AsyncIterator[Opened]:
    """Open a new thread or the requested one, and close it at the end. If the user chose a server, it is there.

    Raises the errors of the settings, the store, the model's route and the thread's lock, see configs.errors.
    """
    server = chosen_server()
    opening = _open_here(request, interface) if server is None else _open_there(server, request)
    async with opening as opened:
        yield opened


@asynccontextmanager
async def _open_there(server: SavedServer, request: SessionRequest) -> AsyncIterator[Opened]:
    from ml_intern.session.remote.opening import server_session

    here = SessionRequest()
    async with server_session(server, request) as session:
        yield Opened(session, data_home(), True, False, load_settings(here, working_folder(here)).settings.terminal)


@asynccontextmanager
async def _open_here(request: SessionRequest, interface: Interface) -> AsyncIterator[Opened]:
    saved = _is_saved(request)
    async with open_store(ephemeral=not saved) as store:
        row = await _find_thread(store, request)
        if row and interface.attach_as and not request.fork and is_served(store.home, row.id):
            async with _attached(store, row, interface) as opened:
                yield opened
            return
        workspace = working_folder(request, row)
        request, missing, continued = await _continued(store, row, request) if row else (request, (), ())
        if interface.ask_trust and not request.ephemeral and not request.trust:
            await interface.ask_trust(workspace)
        request = await with_fetched_holdout(request)
        loaded = load_settings(request, workspace)
        last_model = await model_of(store, row) if row else ""
        register_secrets(workspace)
        options = as_run_options(request, loaded, workspace, last_model=last_model)
        given = saved_options(request, options.model, missing)
        options = replace(options, given=given, notes=(*continued, *options.notes))
        with _ephemeral_home(None if saved else store.home):
            start = _Start(request, options, loaded.settings, store, row, interface, saved)
            async with _opened(start) as (session, shared):
                try:
                    signed_in = hub_token(os.environ) is not None
                    yield Opened(session, store.home, saved, signed_in, loaded.settings.terminal, shared)
                finally:
                    if not saved:  # no record of them remains after the session
                        await session.runs.stop()
                        await _end_sandboxes(store, interface)
            if saved:
                await _upload_traces(store, request, workspace, session.thread_id, interface)


@asynccontextmanager
async def _attached(store: "Store", row: "ThreadRow", interface: Interface) -> AsyncIterator[Opened]:
    """Attach to the process that runs the thread. Raises ThreadLocked if it does not answer."""
    from ml_intern.session.threads import LocalThreads

    def warn(message: str, remedy: str) -> None:
        interface.report(f"{message} ({remedy})" if remedy else message)

    settings = load_settings(SessionRequest(), Path(row.folder)).settings
    async with attach(LocalThreads(store, warn), row.id, name=interface.attach_as) as session:
        interface.report("another process runs this thread: attached to it; its own options apply")
        yield Opened(session, store.home, True, hub_token(os.environ) is not None, settings.terminal)


@dataclass(frozen=True)
class _Start:
    """The inputs for opening a session."""

    request: SessionRequest
    options: RunOptions
    settings: Settings
    store: "Store"
    row: "ThreadRow | None"
    interface: Interface
    served: bool
    """Whether other processes can connect to the session."""


@asynccontextmanager
async def _opened(start: _Start) -> AsyncIterator[tuple["AgentSession", "SharedThread | None"]]:
    from ml_intern.outbound.notifications.notifier import Notifications
    from ml_intern.session.agent import AgentSession
    from ml_intern.session.event_queue import EventQueue
    from ml_intern.session.opening.services import open_services
    from ml_intern.session.wire.sockets import ThreadSocket

    store, options, settings = start.store, start.options, start.settings
    endpoint = endpoint_of(start.request, options.model)
    builtin, notes = await _builtin_tools(options, settings)
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(
            open_services(store, options, endpoint, settings.mcpServers, builtin, start.interface.report)
        )
        if options.headless and services.servers is not None:
            await services.servers.settled()
            notes = (*services.servers.problems(), *notes)
        options = replace(options, notes=(*options.notes, *notes, *await _swept(start)))
        events = EventQueue()
        notifications = Notifications(settings.messaging, options.workspace, events.warn)
        stack.push_async_callback(notifications.close)
        _trace(settings, start.interface, events, stack)
        services = replace(services, defaults=options, notifier=notifications)
        thread = start.row.id if start.row else None
        socket = ThreadSocket(store.home)
        events.listen(socket.take)
        stack.push_async_callback(socket.close)
        shared = _shared(store, events, stack)
        session = await AgentSession.start(services, events, thread=thread, fork=start.request.fork)
        stack.push_async_callback(session.close)
        _listen(session, settings, start.interface, events, stack)
        if start.served:
            socket.open(session)
            stack.callback(socket.withdraw)
        if start.row and not start.request.fork:
            await store.threads.save_options(start.row.id, options.given)
        await _start_shared(shared, session, stack)
        yield session, shared


def _listen(
    session: "AgentSession", settings: Settings, interface: Interface, events: "EventQueue", stack: AsyncExitStack
) -> None:
    """Run the hooks and the backups of the session."""
    from ml_intern.session.turns.database_backups import DatabaseBackups
    from ml_intern.session.turns.session_hooks import SessionHooks

    database = session.services.store.engine.sqlite
    for listener in (
        SessionHooks(session.services.defaults, events.emit, interface.report),
        DatabaseBackups(database, settings.backup, events.warn, interface.report),
    ):
        events.listen(listener.take)
        stack.push_async_callback(listener.close)


def _shared(store: "Store", events: "EventQueue", stack: AsyncExitStack) -> "SharedThread | None":
    """Record the events if other machines use the database."""
    if not store.is_shared:
        return None
    from ml_intern.session.team.shared import SharedThread

    shared = SharedThread(store)
    events.listen(shared.take)
    stack.push_async_callback(shared.close)
    return shared


async def _start_shared(shared: "SharedThread | None", session: "AgentSession", stack: AsyncExitStack) -> None:
    """Perform what other machines post to the thread."""
    if shared is not None:
        await shared.start(session)
        stack.push_async_callback(shared.stop)


def _trace(settings: Settings, interface: Interface, events: "EventQueue", stack: AsyncExitStack) -> None:
    """Send the spans of the session if the settings name an endpoint. Raises ConfigurationError."""
    from ml_intern.outbound.telemetry.export import open_telemetry

    telemetry = open_telemetry(settings.telemetry, interface.report)
    if telemetry is not None:
        events.listen(telemetry.take)
        stack.push_async_callback(asyncio.to_thread, telemetry.close)


async def _builtin_tools(options: RunOptions, settings: Settings) -> "tuple[dict[str, ToolSpec], tuple[str, ...]]":
    """Return the built-in tools, and a note on the remote machine that some of them use.

    Raises:
        SandboxMissing: a Hugging Face sandbox was requested but is unavailable.
    """
    from ml_intern.tools.registry import create_builtin_tools

    remote, notes = await _remote_tools(options)
    builtin = {**create_builtin_tools(), **remote}
    if not any(place.allow_agent_tool for place in settings.messaging.destinations.values()):
        del builtin["notify"]
    return builtin, notes


async def _remote_tools(options: RunOptions) -> "tuple[dict[str, ToolSpec], tuple[str, ...]]":
    if options.tool_runtime == "local":
        return {}, ()
    from ml_intern.execution.call import ToolError
    from ml_intern.runs.backends.hub_sandbox import MachineRequest, machine_of
    from ml_intern.tools.compute.remote_tools import remote_tools

    try:
        machine = await machine_of(MachineRequest())
    except ToolError as error:
        raise SandboxMissing(f"cannot start a Hugging Face sandbox: {error}", "or use --tool-runtime local") from error
    return remote_tools(), (f"bash, read, write and edit run in a Hugging Face sandbox, {machine.line}",)


async def _swept(start: _Start) -> tuple[str, ...]:
    """End the sandboxes that killed sessions left running, except this thread's. Return one line per sandbox."""
    from ml_intern.runs.backends.hub_sandbox import sandboxes_of

    return tuple(await sandboxes_of(start.store).sweep(keep=start.row.id if start.row else ""))


async def _end_sandboxes(store: "Store", interface: Interface) -> None:
    """End all sandboxes of this session, and report them."""
    from ml_intern.runs.backends.hub_sandbox import sandboxes_of

    for line in await sandboxes_of(store).close(keep_waiting=False):
        interface.report(line)


async def _upload_traces(
    store: "Store", request: SessionRequest, workspace: Path, thread_id: str, interface: Interface
) -> None:
    """Upload the thread as a trace if the current settings say so. Report a failure in one line."""
    settings = load_settings(request, workspace).settings
    if not settings.share_traces:
        return
    from ml_intern.session.exchange.traces import Traces
    from ml_intern.session.thread import idle_turns

    traces = Traces(store.home, settings)
    if await store.threads.get(thread_id) is not None:
        traces.add(thread_id)
    for line in await traces.upload_pending(store, await idle_turns(store, thread_id, str(workspace))):
        interface.report(line)


def _is_saved(request: SessionRequest) -> bool:
    """Return whether the thread is saved. Ephemeral threads are not, nor new ones if save_sessions is off."""
    if request.ephemeral or request.continues:
        return not request.ephemeral
    return load_settings(request, working_folder(request)).settings.save_sessions


async def _find_thread(store: "Store", request: SessionRequest) -> "ThreadRow | None":
    """Return the thread to continue; None for a new one. Raises UsageError if it does not exist."""
    if request.thread is not None:
        if not request.thread:
            raise UsageError("-r needs a thread in unattended mode", "`ml-intern threads list` shows the ids")
        return await store.threads.find(request.thread)
    if not request.latest:
        return None
    folder = working_folder(request)
    row = await store.threads.latest(str(folder))
    if row is None:
        raise UsageError(
            f"no thread exists for {folder} yet", "start one, or run `ml-intern threads list` to see the others"
        )
    return row


async def _continued(
    store: "Store", row: "ThreadRow", request: SessionRequest
) -> tuple[SessionRequest, Sequence[str], tuple[str, ...]]:
    """Return the request with the options of the thread and of its pending approval, those missing, and notes."""
    request, missing, notes = await with_saved_options(store, row, request)
    return await _under_same_conditions(store, row, request), missing, notes


async def _under_same_conditions(store: "Store", row: "ThreadRow", request: SessionRequest) -> SessionRequest:
    """Return the request with the sandbox and the added folders of the pending approval, unless it names others.

    An answer is bound to the sandbox of its request, and an approved call may need the folders.
    """
    if row.state != "waiting":
        return request
    from ml_intern.session.approvals import pending_batch
    from ml_intern.session.thread import idle_turns

    batch = pending_batch(await (await idle_turns(store, row.id, row.folder)).snapshot()) or {}
    sandbox, folders = batch.get("sandbox"), [one for one in batch.get("add_dirs", ()) if Path(one).is_dir()]
    return replace(
        request,
        sandbox=False if sandbox == "none" and request.sandbox is None else request.sandbox,
        add_dirs=request.add_dirs or tuple(folders),
        tool_runtime="sandbox" if sandbox == REMOTE_SANDBOX and not request.tool_runtime else request.tool_runtime,
    )


@contextmanager
def _ephemeral_home(home: Path | None) -> Iterator[None]:
    """Store caches and logs in `home` within this block. Remove new cache folders that stay empty.

    None changes nothing.
    """
    if home is None:
        yield
        return
    before, missing = os.environ.get(HOME_VARIABLE), _missing_caches()
    os.environ[HOME_VARIABLE] = str(home)
    try:
        yield
    finally:
        os.environ.pop(HOME_VARIABLE)
        os.environ |= {HOME_VARIABLE: before} if before is not None else {}
        for folder in missing:
            with suppress(OSError):  # it is not empty, or was never created
                folder.rmdir()


def _missing_caches() -> list[Path]:
    """Return the missing cache folders that a sandboxed command would create, inner ones first."""
    from ml_intern.sandbox.profile import cache_folders

    wanted = (Path(folder) for folder in cache_folders(os.environ, str(Path.home())))
    missing = {path for folder in wanted for path in (folder, *folder.parents) if not path.exists()}
    return sorted(missing, key=lambda path: len(path.parts), reverse=True)
