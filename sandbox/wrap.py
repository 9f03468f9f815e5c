"""Wrap a command so that its profile is enforced, by bubblewrap or by the basic sandbox."""

import os
import shutil
import stat
from collections.abc import Sequence
from functools import lru_cache

from ml_intern.sandbox.basic.wrapping import wrap_basic
from ml_intern.sandbox.bubblewrap import Profile, memory_file, require_sandbox, sandbox_command
from ml_intern.sandbox.caches.overlay import open_caches
from ml_intern.sandbox.command import WrappedCommand
from ml_intern.sandbox.connections import ConnectionBroker, can_broker
from ml_intern.sandbox.egress import EgressProxy
from ml_intern.sandbox.git.guard import GitState, record_git_state
from ml_intern.sandbox.programs.log import ProgramLog
from ml_intern.sandbox.seccomp import seccomp_filter


def wrap(argv: Sequence[str], profile: Profile, folder: str = "") -> WrappedCommand:
    """Wrap a command in the sandbox. The caller starts it and closes it after it has ended.

    Raises:
        SandboxMissing: what the profile names does not work on this machine.
    """
    if profile.kind == "bubblewrap":
        require_sandbox()
    state = record_state(profile)
    wrapped = (wrap_basic if profile.kind == "basic" else _in_bubblewrap)(argv, profile, folder)
    wrapped.git = state
    return wrapped


def record_state(profile: Profile) -> GitState:
    """Record the state of the profile's repositories before a command runs."""
    if profile.kind == "basic":
        return record_git_state(profile.roots, (), restores=True)
    return record_git_state(profile.roots, profile.git)


def _in_bubblewrap(argv: Sequence[str], profile: Profile, folder: str) -> WrappedCommand:
    with_broker = _can_broker()
    caches = open_caches(profile.cache_store, profile.workspace, profile.caches)
    seccomp = memory_file(seccomp_filter(unix=with_broker))
    redacted = {path: memory_file(text.encode()) for path, text in profile.redacted}
    options = [word for path, text in redacted.items() for word in ("--ro-bind-data", str(text), path)]
    options += ["--seccomp", str(seccomp), *caches.keep]
    variables: dict[str, str] = {}
    egress = EgressProxy(profile.hosts, profile.upstream) if profile.network == "list" else None
    if egress is not None:
        options += egress.options
        variables = egress.environment()
        egress.start()
    programs = ProgramLog() if with_broker and profile.programs else None
    broker = ConnectionBroker(abstract=profile.network != "on", programs=programs) if with_broker else None
    if broker is not None:
        broker.start()
    # The absolute path, because PATH inside the sandbox must not choose the program started outside.
    bwrap = shutil.which("bwrap") or "bwrap"
    command = [*caches.prefix, bwrap, *sandbox_command(profile, argv, options, folder, caches=caches.binds)[1:]]
    thread_setup = (broker.filter_this_thread,) if broker is not None else ()
    helpers = tuple(helper.close for helper in (egress, broker) if helper is not None)
    descriptors = (seccomp, *redacted.values(), *caches.descriptors)
    environment = {**profile.environment, "PWD": folder or profile.workspace, **variables}
    return WrappedCommand(
        command, environment, descriptors, thread_setup, helpers, egress, programs, variables=variables
    )


@lru_cache(maxsize=1)
def _can_broker() -> bool:
    """Return whether a broker can perform connect(). A setuid bubblewrap would lose its privileges."""
    found = shutil.which("bwrap")
    return can_broker() and found is not None and not os.stat(found).st_mode & stat.S_ISUID  # noqa: PTH116
