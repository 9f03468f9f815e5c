"""The OS sandbox around a local command: the profile of a run, the wrapped command, and what is mended after it."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from ml_intern.configs.paths import cache_home, data_home, settings_home
from ml_intern.execution.call import ToolError
from ml_intern.execution.process.environment import child_environment, uv_links
from ml_intern.execution.tool import ToolContext
from ml_intern.graph.context import RunOptions
from ml_intern.models.routing import hub_token
from ml_intern.safety.secrets.known import is_secret_name
from ml_intern.sandbox.bubblewrap import Profile, wrap
from ml_intern.sandbox.command import WrappedCommand
from ml_intern.sandbox.git_guard import GitState, record_git_state, remove_active_git_config
from ml_intern.sandbox.profile import SandboxRequest, build_profile


@dataclass(frozen=True)
class Traffic:
    """host:port of the connections that a command made and of those that were refused, where its sandbox knows them."""

    reached: tuple[str, ...] = ()
    """Package indexes aside: what comes from them is installed, not read."""
    refused: tuple[str, ...] = ()
    problem: str = ""
    """Why there was no way out at all."""


@dataclass(frozen=True)
class SandboxedCommand:
    """A command as it is to be started: behind the wall, or without one when the run has none."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    wrapped: WrappedCommand | None = None
    before: GitState | None = None
    """How its repositories stood."""
    mended: list[str] = field(default_factory=list[str])
    """What was taken out of repositories after its end, because git would have run it."""

    @property
    def traffic(self) -> Traffic:
        """What went through the way out so far, and what did not."""
        egress = self.wrapped.egress if self.wrapped else None
        if egress is None:
            return Traffic()
        reached = (place for place in egress.reached if place not in egress.hosts.indexes)
        return Traffic(tuple(dict.fromkeys(reached)), tuple(dict.fromkeys(egress.refused)), egress.problem)


@asynccontextmanager
async def sandboxed(
    argv: tuple[str, ...], folder: Path, context: ToolContext, secrets: tuple[str, ...] = ()
) -> AsyncIterator[SandboxedCommand]:
    """Within this block the command can be started; what the wall needs ends with it.

    `secrets` names variables that it is given, and no other command.

    Raises:
        SandboxMissing: the run has a sandbox and it does not work any more.
        ConfigurationError: the workspace cannot be handed to a sandbox.
        ToolError: there is no such variable.
    """
    wall = await opened_in_thread(partial(_walled, argv, folder, context, secrets), _close)
    try:
        yield wall
    finally:
        if wall.wrapped is not None and wall.before is not None:
            wall.mended.extend(await asyncio.shield(asyncio.to_thread(_ended, wall.wrapped, wall.before)))


def _walled(argv: tuple[str, ...], folder: Path, context: ToolContext, secrets: tuple[str, ...]) -> SandboxedCommand:
    environment = run_environment(secrets)
    if context.options.sandbox == "none":
        return SandboxedCommand(argv, environment)
    homes = (context.services.store.home, *own_homes())
    profile = run_profile(context.options, environment, homes, secrets)
    before = record_git_state(profile.roots, profile.git)
    wrapped = wrap(argv, profile, str(folder))
    return SandboxedCommand(argv, wrapped.environment, wrapped, before)


def run_environment(secrets: Iterable[str]) -> dict[str, str]:
    """The environment of a command that is given these secrets. Raises ToolError when there is no such variable."""
    return child_environment(os.environ, uv_links(), sandboxed=True) | {name: secret_value(name) for name in secrets}


def secret_value(name: str) -> str:
    """The value of a variable that holds a secret of the user's. It blocks. Raises ToolError when there is none."""
    value = hub_token(os.environ) if name == "HF_TOKEN" else os.environ.get(name)
    if not is_secret_name(name) or not value:
        raise ToolError(f"the user has no secret in a variable {name}; leave it out, or ask the user to set it")
    return value


def _close(wall: SandboxedCommand) -> None:
    if wall.wrapped is not None:
        wall.wrapped.close()


def _ended(wrapped: WrappedCommand, before: GitState) -> list[str]:
    wrapped.close()
    return remove_active_git_config(before)


def own_homes() -> tuple[Path, ...]:
    """ml-intern's own folders, which no command sees."""
    return (data_home(), cache_home(), settings_home())


def run_profile(
    options: RunOptions, environment: Mapping[str, str], homes: tuple[Path, ...], secrets: tuple[str, ...] = ()
) -> Profile:
    """The profile of a run's commands, whose environment would be this one without a wall.

    Raises:
        ConfigurationError: the workspace cannot be handed to a sandbox.
    """
    wish = SandboxRequest(
        options.workspace,
        add_dirs=options.add_dirs,
        network="off" if options.sandbox == "none" else options.sandbox,
        secrets=secrets,
        own_homes=tuple(dict.fromkeys(os.path.realpath(home) for home in homes)),
        hosts=options.sandbox_hosts,
    )
    return build_profile(wish, environment)


T = TypeVar("T")


async def opened_in_thread(make: Callable[[], T], close: Callable[[T], object]) -> T:
    """What `make` returns. Where the caller is cancelled before it could take it, it is closed."""
    making = asyncio.ensure_future(asyncio.to_thread(make))
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        await asyncio.wait({making})
        if not making.cancelled() and making.exception() is None:
            close(making.result())
        raise
