"""Wrap a command in the basic sandbox: its own temporary and home folder, caches, network and rules."""

import json
import os
import select
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ml_intern.configs.errors import SandboxMissing
from ml_intern.sandbox.basic.egress import HostEgressProxy
from ml_intern.sandbox.basic.home import prepare_home, private_caches
from ml_intern.sandbox.basic.landlock import Landlock, landlock
from ml_intern.sandbox.basic.locked_files import restore_locked, save_locked
from ml_intern.sandbox.basic.rules import rules
from ml_intern.sandbox.bubblewrap import Profile, memory_file
from ml_intern.sandbox.command import WrappedCommand
from ml_intern.sandbox.connections import ConnectionBroker, SharedNetwork, can_broker
from ml_intern.sandbox.programs.log import ProgramLog
from ml_intern.sandbox.seccomp import seccomp_filter

_PROGRAM = (Path(__file__).parent / "launcher_process.py").read_text(encoding="utf-8")
_END_SECONDS = 10


def basic_problem() -> tuple[str, str] | None:
    """Return why the basic sandbox does not work and a remedy, or None if it works."""
    if landlock() is None:
        return "this kernel has no Landlock", "Linux 5.13 or later has it"
    if not can_broker():
        return "this kernel or container forbids seccomp notifications", "Linux 5.9 or later has them"
    return None


def wrap_basic(
    argv: Sequence[str], profile: Profile, folder: str = "", kernel: Landlock | None = None
) -> WrappedCommand:
    """Wrap a command in the basic sandbox. `kernel` limits it to an older version of Landlock.

    Raises:
        SandboxMissing: it does not work here, or cannot hide what the profile hides.
    """
    kernel = kernel or landlock()
    if (problem := basic_problem()) or kernel is None:
        raise SandboxMissing(*(problem or ("this kernel has no Landlock", "")))
    if profile.hidden_inside:
        raise SandboxMissing(
            f"the basic sandbox cannot hide {profile.hidden_inside[0]} inside the working folder",
            "set ML_INTERN_HOME to a folder elsewhere, or install bubblewrap",
        )
    own = Path(tempfile.mkdtemp(prefix="ml-intern-"))
    caches = private_caches(profile)
    variables = prepare_home(own, profile, caches)
    egress = HostEgressProxy(profile.hosts, profile.upstream) if profile.network == "list" else None
    if egress is not None:
        variables |= egress.environment()
        egress.start()
    programs = ProgramLog() if profile.programs else None
    broker = ConnectionBroker(abstract=False, shared=_network(profile, own, egress), programs=programs)
    broker.start()
    seccomp = memory_file(_filter(profile, kernel))
    finished, ended = os.pipe()
    order = memory_file(json.dumps({
        "argv": [*argv], "folder": folder or profile.workspace, "temporary": str(own),
        "filter": seccomp, "ended": ended, "parent": os.getpid(),
        "handled": kernel.handled, "scoped": kernel.scoped, "size": kernel.attribute_bytes,
        "rules": rules(profile, str(own), caches.values(), kernel),
    }).encode(errors="surrogateescape"))  # fmt: skip
    helpers: list[Callable[[], object]] = [partial(_wait_for_end, finished, own), broker.close]
    restored: list[str] = []
    if egress is not None:
        helpers.append(egress.close)
    helpers.append(partial(restore_locked, save_locked(profile.locked), restored))
    return WrappedCommand(
        [os.path.realpath(sys.executable), "-I", "-S", "-c", _PROGRAM, str(order)],
        {**profile.environment, "PWD": folder or profile.workspace, **variables},
        (order, seccomp, ended),
        (broker.filter_this_thread,),
        tuple(helpers),
        egress,
        programs,
        variables=variables,
        restored=restored,
    )


def _filter(profile: Profile, kernel: Landlock) -> bytes:
    is_open = profile.network == "on"
    return seccomp_filter(unix=True, namespaces=False, internet=is_open, truncation=kernel.version >= 3)


def _network(profile: Profile, own: Path, egress: HostEgressProxy | None) -> SharedNetwork:
    is_open = profile.network == "on"
    route = egress.route if egress else lambda _host, port: port if is_open else None
    return SharedNetwork(str(own), route, listens=is_open)


def _wait_for_end(finished: int, own: Path) -> None:
    """Wait until the command and everything it started has ended, and remove its folder."""
    waiting = select.poll()
    waiting.register(finished, select.POLLIN)
    waiting.poll(1000 * _END_SECONDS)
    os.close(finished)
    shutil.rmtree(own, ignore_errors=True)
