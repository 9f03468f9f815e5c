"""Run a local command in the OS sandbox: the run's profile, the wrapped command, and what was removed at its end."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from ml_intern.configs.env import OWN_KEYS
from ml_intern.configs.paths import cache_home, data_home, private_folder, settings_home, workspaces_home
from ml_intern.execution.call import ToolError
from ml_intern.execution.opened_files import private_roots
from ml_intern.execution.process.environment import bash_path, child_environment, uv_links
from ml_intern.execution.recording.programs_used import HOOK_FOLDER, hook_variables
from ml_intern.execution.tool import ToolContext
from ml_intern.graph.context import RunOptions
from ml_intern.models.routing import hub_token
from ml_intern.safety.files.private import private_files
from ml_intern.safety.secrets.known import is_secret_name
from ml_intern.sandbox.bubblewrap import Profile
from ml_intern.sandbox.caches.datasets import folders_with_dataset
from ml_intern.sandbox.command import WrappedCommand
from ml_intern.sandbox.network_hosts import without_hub
from ml_intern.sandbox.profile import CACHE_STORE, SandboxRequest, build_profile, cache_folders
from ml_intern.sandbox.send_limits import SendLimits, hosts_of_keys
from ml_intern.sandbox.spare import wrap_captured
from ml_intern.text.formatting import listed

MAX_HOSTS = 5
_HOST = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+")
_COUNT = "sent_bytes"
"""The file that counts what the commands of a thread sent while limits applied."""


@dataclass(frozen=True)
class Connections:
    """The network connections of a sandboxed command, as host:port: made and refused."""

    reached: tuple[str, ...] = ()
    """Without package indexes: content from them is installed, not read."""
    refused: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()
    """Why connections to allowed hosts were refused or closed."""
    problem: str = ""
    """Why the command had no network access at all."""

    @property
    def notes(self) -> list[str]:
        """Return one line for each kind of problem, with the remedy."""
        if self.problem:
            return [f"the sandbox had no network: {self.problem}"]
        cut = [f"the sandbox cut the connection: {why}; ask the user to send the data" for why in self.cut]
        if not self.refused:
            return cut
        return [
            *cut,
            f"the sandbox blocked connections to {listed(self.refused, MAX_HOSTS)}; "
            "if the task needs them, ask the user to allow them with the setting sandbox.hosts",
        ]


@dataclass(frozen=True)
class SandboxedCommand:
    """A command ready to be started, in the sandbox or, when the run has none, without it."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    wrapped: WrappedCommand | None = None

    @property
    def removed(self) -> tuple[str, ...]:
        """Return the files removed from repositories after it ended, because git would have run them."""
        return tuple(self.wrapped.removed) if self.wrapped else ()

    @property
    def restored(self) -> tuple[str, ...]:
        """Return the locked files that it changed, which were restored after it ended."""
        return tuple(self.wrapped.restored) if self.wrapped else ()

    @property
    def connections(self) -> Connections:
        """The connections made and refused so far."""
        return connections_of(self.wrapped)


def connections_of(wrapped: WrappedCommand | None) -> Connections:
    """Return the connections that a sandboxed command made, and those refused, so far."""
    egress = wrapped.egress if wrapped else None
    if egress is None:
        return Connections()
    reached = (place for place in egress.reached if place not in egress.hosts.indexes)
    cut = tuple(dict.fromkeys(egress.sent.cut))
    return Connections(tuple(dict.fromkeys(reached)), tuple(dict.fromkeys(egress.refused)), cut, egress.problem)


@asynccontextmanager
async def open_sandbox(
    argv: tuple[str, ...],
    folder: Path,
    context: ToolContext,
    secrets: tuple[str, ...] = (),
    removes: tuple[str, ...] = (),
) -> AsyncIterator[SandboxedCommand]:
    """Prepare a command for the sandbox; the sandbox is closed at the end of the block.

    `secrets` names variables that only this command gets, `removes` the paths that it removes or moves.

    Raises:
        SandboxMissing: the run requires a sandbox, and it no longer works.
        ConfigurationError: the workspace cannot be used in a sandbox.
        ToolError: there is no such secret.
    """
    locked = await locked_paths(context)
    async with _opened(partial(_prepare, argv, folder, context, secrets, removes, locked)) as command:
        try:
            yield command
        finally:
            if context.programs is not None:
                context.programs.take(command.wrapped, argv)


@asynccontextmanager
async def open_read_only(
    argv: tuple[str, ...], folder: Path, options: RunOptions, shown: tuple[str, ...] = ()
) -> AsyncIterator[SandboxedCommand]:
    """Prepare a command for a sandbox in which all folders are read-only, without network.

    `shown` are files that this command can read, although others cannot.

    Raises:
        SandboxMissing: the run requires a sandbox, and it no longer works.
        ConfigurationError: the workspace cannot be used in a sandbox.
    """
    hidden = tuple(path for path in options.unreadable if path not in shown)
    options = replace(options, sandbox="off", holdout="", holdout_dataset="", hidden=hidden)
    async with _opened(partial(_prepare_offline, argv, folder, options, shown)) as command:
        yield command


@asynccontextmanager
async def _opened(prepare: Callable[[], SandboxedCommand]) -> AsyncIterator[SandboxedCommand]:
    command = await open_in_thread(prepare, _close)
    try:
        yield command
    finally:
        if command.wrapped is not None:
            await asyncio.shield(asyncio.to_thread(command.wrapped.close))


@asynccontextmanager
async def open_offline(argv: tuple[str, ...], folder: Path, options: RunOptions) -> AsyncIterator[SandboxedCommand]:
    """Prepare a command for a sandbox without network, in which the workspace of the options is writable.

    Raises the same errors as `open_read_only`.
    """
    options = replace(options, sandbox="off")
    async with _opened(partial(_prepare_offline, argv, folder, options, (), read_only=False)) as command:
        yield command


def _prepare_offline(
    argv: tuple[str, ...], folder: Path, options: RunOptions, shown: tuple[str, ...], *, read_only: bool = True
) -> SandboxedCommand:
    profile = run_profile(options, command_environment(()), hidden_homes())
    profile = replace(profile, read_only=read_only, readable=(*profile.readable, *shown))
    wrapped = wrap_captured(argv, profile, str(folder), bash_path())
    return SandboxedCommand(argv, wrapped.environment, wrapped)


async def locked_paths(context: ToolContext) -> tuple[str, ...]:
    """Return the files that are read-only for the commands of a thread."""
    return await context.store.evidence.locked(context.root_id) if context.options.verify != "off" else ()


def _prepare(
    argv: tuple[str, ...],
    folder: Path,
    context: ToolContext,
    secrets: tuple[str, ...],
    removes: tuple[str, ...],
    locked: tuple[str, ...],
) -> SandboxedCommand:
    environment = command_environment(secrets)
    if context.options.sandbox == "none":
        return SandboxedCommand(argv, environment)
    homes = (context.services.store.home, *hidden_homes())
    profile = run_profile(context.options, environment, homes, secrets, removes)
    profile = replace(profile, hosts=replace(profile.hosts, limits=send_limits(context, secrets)), locked=locked)
    wrapped = wrap_captured(argv, profile, str(folder), bash_path())
    return SandboxedCommand(argv, wrapped.environment, wrapped)


def send_limits(context: ToolContext, secrets: tuple[str, ...] = ()) -> SendLimits | None:
    """Return the limits on what a call's command may send. `secrets` names the keys that it was given.

    None while the user is asked, and while neither text from outside nor a private file is in the conversation.
    """
    if not (context.options.approval_mode == "auto" or context.options.child):
        return None
    if not (because := _reason_for_limits(context)):
        return None
    return SendLimits(
        because,
        frozenset(_HOST.findall(context.user_text.lower())),
        hosts_of_keys(secrets, (host for host in context.options.sandbox_hosts if "://" not in host)),
        str(private_folder(context.services.artifacts(context.root_id)) / _COUNT),
    )


def _reason_for_limits(context: ToolContext) -> str:
    if context.taint:
        return f"while text from {context.taint[0]} is in the conversation"
    read = private_files(context.file_reads, private_roots(context))
    return f"after the private file {context.name_of(Path(read[0]))} was read" if read else ""


def command_environment(secrets: Iterable[str]) -> dict[str, str]:
    """Return the environment of a command with these secrets. Raises ToolError when one does not exist."""
    return child_environment(os.environ, uv_links(), sandboxed=True) | {name: secret_value(name) for name in secrets}


def secret_value(name: str) -> str:
    """Return the value of a secret of the user's. It blocks. Raises ToolError when there is no such secret."""
    value = hub_token(os.environ) if name == "HF_TOKEN" else os.environ.get(name)
    own = os.environ.get(OWN_KEYS)
    if not is_secret_name(name) or not value or (own is not None and name not in own.split(",")):
        raise ToolError(f"there is no secret named {name}; leave it out, or ask the user to set the variable")
    return value


def _close(command: SandboxedCommand) -> None:
    if command.wrapped is not None:
        command.wrapped.close()


def own_homes() -> tuple[Path, ...]:
    """Return ml-intern's own folders, which are hidden from commands."""
    return (data_home(), cache_home(), settings_home())


def hidden_homes() -> tuple[Path, ...]:
    """Return what is hidden from commands: ml-intern's own folders, and those of the threads of a team's users."""
    return (*own_homes(), workspaces_home())


def run_profile(
    options: RunOptions,
    environment: Mapping[str, str],
    homes: tuple[Path, ...],
    secrets: tuple[str, ...] = (),
    removes: tuple[str, ...] = (),
) -> Profile:
    """Return the sandbox profile of a run's commands, given the environment they would have without a sandbox.

    `homes` are ml-intern's own folders, the data home first. `removes` are the paths that the command removes or moves.

    Raises:
        ConfigurationError: the workspace cannot be used in a sandbox.
    """
    request = SandboxRequest(
        options.workspace,
        add_dirs=options.add_dirs,
        network="off" if options.sandbox == "none" else options.sandbox,
        secrets=secrets,
        own_homes=tuple(dict.fromkeys(os.path.realpath(home) for home in homes)),
        cache_store=str(homes[0] / CACHE_STORE),
        removes=removes,
        hosts=options.sandbox_hosts,
        kind=options.sandbox_kind,
    )
    profile = build_profile(request, environment)
    profile = replace(profile, readable=(*profile.readable, *options.shown), unreadable=options.unreadable)
    if options.holdout_dataset:
        hidden = folders_with_dataset(cache_folders(environment, profile.home), options.holdout_dataset)
        profile = replace(profile, hosts=without_hub(profile.hosts), hidden_inside=(*profile.hidden_inside, *hidden))
    return profile if options.verify == "off" else _recorded(profile)


def _recorded(profile: Profile) -> Profile:
    """Return the profile with the programs recorded, and the hook for Python."""
    environment = {**profile.environment, **hook_variables(profile.environment)}
    return replace(profile, programs=True, readable=(*profile.readable, HOOK_FOLDER), environment=environment)


T = TypeVar("T")


async def open_in_thread(make: Callable[[], T], close: Callable[[T], object]) -> T:
    """Run `make` in a thread and return its result. If the caller is cancelled meanwhile, close the result."""
    task = asyncio.ensure_future(asyncio.to_thread(make))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled() and task.exception() is None:
            close(task.result())
        raise
