"""Run a local command in the OS sandbox: the run's profile, the wrapped command, and what was removed at its end."""

import asyncio
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from ml_intern.configs.paths import cache_home, data_home, settings_home
from ml_intern.execution.call import ToolError
from ml_intern.execution.process.environment import bash_path, child_environment, uv_links
from ml_intern.execution.tool import ToolContext
from ml_intern.graph.context import RunOptions
from ml_intern.models.routing import hub_token
from ml_intern.safety.secrets.known import is_secret_name
from ml_intern.sandbox.bubblewrap import Profile
from ml_intern.sandbox.command import WrappedCommand
from ml_intern.sandbox.profile import CACHE_STORE, SandboxRequest, build_profile
from ml_intern.sandbox.send_limits import SendLimits
from ml_intern.sandbox.spare import wrap_captured

_HOST = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+")
_sent_by_thread: Counter[str] = Counter()
"""Bytes that the commands of each thread sent, since this process started, while limits applied."""


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
    def connections(self) -> Connections:
        """The connections made and refused so far."""
        egress = self.wrapped.egress if self.wrapped else None
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
    command = await open_in_thread(partial(_prepare, argv, folder, context, secrets, removes), _close)
    try:
        yield command
    finally:
        _remember_sent(command, context.root_id)
        await asyncio.shield(asyncio.to_thread(_close, command))


def _prepare(
    argv: tuple[str, ...], folder: Path, context: ToolContext, secrets: tuple[str, ...], removes: tuple[str, ...]
) -> SandboxedCommand:
    environment = command_environment(secrets)
    if context.options.sandbox == "none":
        return SandboxedCommand(argv, environment)
    homes = (context.services.store.home, *own_homes())
    profile = run_profile(context.options, environment, homes, secrets, removes)
    profile = replace(profile, hosts=replace(profile.hosts, limits=send_limits(context)))
    wrapped = wrap_captured(argv, profile, str(folder), bash_path())
    if wrapped.egress is not None:
        wrapped.egress.sent.earlier = _sent_by_thread[context.root_id]
    return SandboxedCommand(argv, wrapped.environment, wrapped)


def send_limits(context: ToolContext) -> SendLimits | None:
    """Return the limits on what a call's command may send: none while a person is asked or no outside text is known."""
    if not context.taint or not (context.options.approval_mode == "auto" or context.options.child):
        return None
    return SendLimits(context.taint[0], frozenset(_HOST.findall(context.user_text.lower())))


def _remember_sent(command: SandboxedCommand, root_id: str) -> None:
    egress = command.wrapped.egress if command.wrapped else None
    if egress is not None:
        _sent_by_thread[root_id] += egress.sent.hosts.total()


def command_environment(secrets: Iterable[str]) -> dict[str, str]:
    """Return the environment of a command with these secrets. Raises ToolError when one does not exist."""
    return child_environment(os.environ, uv_links(), sandboxed=True) | {name: secret_value(name) for name in secrets}


def secret_value(name: str) -> str:
    """Return the value of a secret of the user's. It blocks. Raises ToolError when there is no such secret."""
    value = hub_token(os.environ) if name == "HF_TOKEN" else os.environ.get(name)
    if not is_secret_name(name) or not value:
        raise ToolError(f"there is no secret named {name}; leave it out, or ask the user to set the variable")
    return value


def _close(command: SandboxedCommand) -> None:
    if command.wrapped is not None:
        command.wrapped.close()


def own_homes() -> tuple[Path, ...]:
    """Return ml-intern's own folders, which are hidden from commands."""
    return (data_home(), cache_home(), settings_home())


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
    return build_profile(request, environment)


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
