"""Opens what a command needs: the working folder, settings, the store, and a session made of them all."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_intern.commands.failure import say
from ml_intern.commands.opening.choose_model import endpoint_of, keep_model, model_of
from ml_intern.commands.opening.ephemeral import everything_in
from ml_intern.commands.opening.sandboxes import end_sandboxes, runtime_tools, swept
from ml_intern.commands.opening.store import open_store as open_store
from ml_intern.commands.options import Options
from ml_intern.configs.errors import ConfigurationError, UsageError
from ml_intern.configs.layers import Loaded, load
from ml_intern.configs.settings import Settings
from ml_intern.graph.context import ApprovalMode, RunOptions, Sandbox
from ml_intern.graph.limits import HEADLESS_BUDGET_USD
from ml_intern.models.secrets import register_secrets
from ml_intern.session.options import from_settings, with_cpu_jobs

if TYPE_CHECKING:
    from ml_intern.session.agent import AgentSession
    from ml_intern.store.store import Store
    from ml_intern.store.threads import ThreadRow


@dataclass(frozen=True)
class Opened:
    """A session and what it was opened with."""

    session: "AgentSession"
    loaded: Loaded
    home: Path
    saved: bool
    """Whether its thread is there afterwards."""


@asynccontextmanager
async def open_session(
    options: Options, *, headless: bool, ask_trust: Callable[[Path], Awaitable[None]] | None = None
) -> AsyncIterator[Opened]:
    """The session a run happens in, new or continued as the options say; it is closed at the end.

    `ask_trust` asks a person about the working folder before its settings are read.

    Raises what the settings, the store, the model's route and the thread's lock raise, see configs.errors.
    """
    refuse_contradictions(options)
    saved = is_saved(options)
    async with open_store(ephemeral=not saved) as store:
        row = await find_thread(store, options)
        workspace = working_folder(options, row)
        options = await behind_the_same_wall(store, row, options) if row else options
        if ask_trust and not options.ephemeral:
            await ask_trust(workspace)
        loaded = load_settings(options, workspace)
        kept = await model_of(store, row) if row else ""
        register_secrets(workspace)
        run_options = as_run_options(options, loaded, workspace, headless=headless, kept=kept)
        with everything_in(None if saved else store.home):
            async with _session(store, options, run_options, row, loaded.settings) as session:
                try:
                    yield Opened(session, loaded, store.home, saved)
                finally:
                    if not saved:  # nothing would be left to find them by
                        await session.runs.stop()
            if saved:
                await _share(store, options, workspace, session.thread_id)


async def _share(store: "Store", options: Options, workspace: Path, thread_id: str) -> None:
    """Upload the thread as a trace when the user said so, in a session before or in this one. A failure is a line."""
    settings = load_settings(options, workspace).settings
    if not settings.share_traces:
        return
    from ml_intern.commands.opening.thread import turns_of
    from ml_intern.session.traces import Traces

    traces = Traces(store.home, settings)
    if await store.threads.get(thread_id) is not None:
        traces.add(thread_id)
    for line in await traces.upload_pending(store, await turns_of(store, thread_id, str(workspace))):
        say(line, 0)


@asynccontextmanager
async def _session(
    store: "Store",
    options: Options,
    run_options: RunOptions,
    row: "ThreadRow | None",
    settings: Settings,
) -> AsyncIterator["AgentSession"]:
    from ml_intern.execution.tool import Services
    from ml_intern.models.gateway import Models
    from ml_intern.outbound.notifications.notifier import Notifications
    from ml_intern.session.agent import AgentSession
    from ml_intern.session.event_queue import EventQueue
    from ml_intern.tools.mcp.servers import open_servers
    from ml_intern.tools.registry import create_builtin_tools

    models = Models(store.ledger, endpoint_of(options, run_options.model))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(models.close)
        elsewhere, notes = await runtime_tools(run_options)
        builtin = {**create_builtin_tools(), **elsewhere}
        if not any(place.allow_agent_tool for place in settings.messaging.destinations.values()):
            del builtin["notify"]
        servers, tools = await stack.enter_async_context(open_servers(settings.mcpServers, store.home, builtin))
        if run_options.headless:
            await servers.settled()
            run_options = replace(run_options, notes=(*run_options.notes, *servers.problems()))
        stack.push_async_callback(end_sandboxes, store)
        run_options = replace(
            run_options, notes=(*run_options.notes, *notes, *await swept(store, row.id if row else ""))
        )
        events = EventQueue()
        notifications = Notifications(settings.messaging, run_options.workspace, events.warn)
        stack.push_async_callback(notifications.close)
        services = Services(models, tools, store, run_options, servers, notifications)
        session = await AgentSession.start(services, events, thread=row.id if row else None, fork=options.fork)
        stack.push_async_callback(session.close)
        yield session


def refuse_contradictions(options: Options) -> None:
    """UsageError for options that exclude each other, SandboxMissing for what was asked for and is not there."""
    continues = options.continue_ or options.resume is not None
    if options.continue_ and options.resume is not None:
        raise UsageError("-c and -r exclude each other", "-c continues the newest thread of this folder, -r names one")
    if options.fork and not continues:
        raise UsageError("--fork needs the thread to copy", "add -c or -r THREAD")
    if options.ephemeral and continues:
        raise UsageError("--ephemeral keeps no threads, so there is none to continue", "leave out one of the two")
    if options.yolo and options.approval_mode not in (None, "yolo"):
        raise UsageError(f"--yolo contradicts --approval-mode {options.approval_mode}", "give one of them")


def is_saved(options: Options) -> bool:
    """Whether a run leaves its thread: not with --ephemeral, nor a new one where the setting save_sessions is off."""
    if options.ephemeral or options.continue_ or options.resume is not None:
        return not options.ephemeral
    return load_settings(options, working_folder(options)).settings.save_sessions


async def behind_the_same_wall(store: "Store", row: "ThreadRow", options: Options) -> Options:
    """The options with --no-sandbox when what waits in the thread was asked about without one.

    An answer is bound to the wall it was given for.
    """
    if row.state != "waiting" or options.sandbox is not None:
        return options
    from ml_intern.commands.opening.thread import turns_of
    from ml_intern.session.runner import waiting_batch

    batch = waiting_batch(await (await turns_of(store, row.id, row.folder)).snapshot()) or {}
    return replace(options, sandbox=False) if batch.get("sandbox") == "none" else options


async def find_thread(store: "Store", options: Options) -> "ThreadRow | None":
    """The thread that -c or -r means. UsageError when there is none."""
    if options.resume is not None:
        if not options.resume:
            raise UsageError("-r needs a thread here", "`ml-intern threads list` shows them")
        return await store.threads.find(options.resume)
    if not options.continue_:
        return None
    folder = working_folder(options)
    row = await store.threads.latest(str(folder))
    if row is None:
        raise UsageError(f"there is no thread of {folder} yet", "start one, or `ml-intern threads list` shows others")
    return row


def working_folder(options: Options, row: "ThreadRow | None" = None) -> Path:
    """The folder to work in: -C, else the thread's own while it exists, else the current one.

    Raises:
        UsageError: -C names no folder.
        ConfigurationError: the current folder is gone.
    """
    if options.cd is not None:
        folder = Path(options.cd).expanduser()
        if not folder.is_dir():
            raise UsageError(f"-C names no folder: {options.cd}")
        return folder.resolve()
    if row is not None and row.folder and Path(row.folder).is_dir():
        return Path(row.folder)
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise ConfigurationError("the working folder no longer exists", "cd to another, or give -C DIR") from error


def load_settings(options: Options, workspace: Path) -> Loaded:
    """The settings of a run in this folder, the options of the command line among them."""
    return load(
        workspace,
        config_file=options.config,
        assignments=options.set_,
        options={
            "model_name": options.model,
            "max_iterations": options.max_iterations,
            "reasoning_effort": options.effort,
            "tool_runtime": "sandbox" if options.sandbox_tools else options.tool_runtime,
        },
    )


def as_run_options(options: Options, loaded: Loaded, workspace: Path, *, headless: bool, kept: str = "") -> RunOptions:
    """What the graph is told of options and settings; `kept` is the model of the thread that is continued."""
    settings = loaded.settings
    model, note = keep_model(kept, loaded, options)
    by_settings = from_settings(settings, workspace)
    default_mode: ApprovalMode = "yolo" if options.yolo or settings.yolo_mode else "auto" if headless else "ask"
    default_budget = HEADLESS_BUDGET_USD if headless else by_settings.max_budget_usd
    folders = run_folders(options)
    sandbox, unwalled = run_sandbox(options, loaded, [str(workspace), *folders])
    chosen = replace(
        by_settings,
        model=model,
        add_dirs=folders,
        sandbox=sandbox,
        approval_mode=options.approval_mode or default_mode,
        headless=headless,
        stream=not options.no_stream,
        max_budget_usd=default_budget if options.max_budget_usd is None else _budget(options.max_budget_usd),
        notes=(*loaded.notes, *filter(None, [note, unwalled]), *_oddities(by_settings.permissions)),
    )
    return with_cpu_jobs(chosen, settings)


def _oddities(permissions: Mapping[str, Any]) -> tuple[str, ...]:
    """What is odd about the rules of the settings. Raises ConfigurationError for one that is none."""
    from ml_intern.execution.policy_inputs import settings_rules

    return settings_rules(permissions).warnings if any(permissions.values()) else ()


def run_sandbox(options: Options, loaded: Loaded, folders: Sequence[str]) -> tuple[Sandbox, str]:
    """The wall around the commands of a run in these folders, and a note when there is none. Raises SandboxMissing."""
    from ml_intern.session.options import choose_sandbox

    settings = loaded.settings.sandbox
    asked = {} if options.sandbox is None else {"enabled": options.sandbox}
    return choose_sandbox(settings.model_copy(update=asked), folders)


def run_folders(options: Options) -> tuple[str, ...]:
    """The further folders of a run, resolved. UsageError when one is none."""
    return tuple(str(_added(folder)) for folder in options.add_dir)


def _added(folder: str) -> Path:
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise UsageError(f"--add-dir names no folder: {folder}")
    return path.resolve()


def _budget(dollars: float) -> float:
    if dollars != -1 and not dollars > 0:
        raise UsageError(f"--max-budget-usd {dollars:g} is no budget", "give US dollars, or -1 for unlimited")
    return dollars
