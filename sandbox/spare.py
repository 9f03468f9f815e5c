"""Sandboxes started ahead: a command is handed to one that waits, instead of starting a new one.

A waiting sandbox has run nothing, and it is used only if a new one would be the same: the profile is equal, and every
path in it is still the same file. Folder, variables and arguments are handed over when the command is known, so a
waiting sandbox has no secrets. It ends by itself after some minutes, and at once with this process.
"""

import atexit
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from queue import SimpleQueue

from ml_intern.configs.errors import SandboxMissing
from ml_intern.sandbox.bubblewrap import Profile, memory_file
from ml_intern.sandbox.command import Captured, WrappedCommand
from ml_intern.sandbox.wrap import record_state, wrap

_IDLE_SECONDS = 300
_MARGIN_SECONDS = 10
"""A sandbox that ends soon is not used."""
_EXIT_SECONDS = 5
_MAX_WAITING = 2
_MAX_BYTES = 100_000
"""Larger command lines are started directly, so that errors about their size are reported as usual."""
_PROGRAM = """\
read -r -N 1 -t {seconds} || exit 125
mapfile -d '' -t given <&{memory}
exec {memory}<&- </dev/null
cd -- "${{given[0]}}" || exit 126
unset OLDPWD SHLVL
export "${{given[@]:2:given[1]}}" 2>/dev/null
exec -- "${{given[@]:2+given[1]}}"
"""


def wrap_captured(argv: Sequence[str], profile: Profile, folder: str, shell: str) -> WrappedCommand:
    """Wrap a command that has no terminal. It runs in a waiting sandbox if there is one.

    When it is closed, the next sandbox is started. `shell` is the path of the bash that waits.

    Raises:
        SandboxMissing: what the profile names does not work on this machine.
    """
    start_next = partial(_in_background, partial(_start, _comparable(profile), shell))
    spare = _take(profile) if _fits(argv, profile.environment) else None
    if spare is None:
        wrapped = wrap(argv, profile, folder)
        wrapped.after_close = start_next
        return wrapped
    state = record_state(profile)
    environment = {**profile.environment, "PWD": folder or profile.workspace, **spare.variables}
    return _Handed(
        [*argv],
        environment,
        helpers=(partial(_in_background, spare.close),),
        egress=spare.wrapped.egress,
        programs=spare.wrapped.programs,
        git=state,
        after_close=start_next,
        spare=spare,
    )


def end_waiting(workspace: str | None = None) -> None:
    """End the waiting sandboxes of a workspace, or all of them."""
    for spare in _remove(lambda one: workspace is None or one.profile.workspace == workspace):
        spare.close()


@dataclass(eq=False)
class _Spare:
    """A sandbox whose only program waits for a command."""

    profile: Profile
    pins: "_Pins"
    wrapped: WrappedCommand
    memory: int
    """The file from which the waiting program reads the command; `wrapped` closes it."""
    process: "subprocess.Popen[bytes]"
    output: int
    ended: "Future[None]"
    variables: Mapping[str, str]
    """Variables that belong to this sandbox."""
    started: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def usable(self) -> bool:
        """Return whether it waits and goes on to wait for some time."""
        return time.monotonic() - self.started < _IDLE_SECONDS - _MARGIN_SECONDS and self.process.poll() is None

    def hand(self, argv: Sequence[str], environment: Mapping[str, str], folder: str) -> int:
        """Hand a command over and return the descriptor of its output. Raises OSError if it has ended."""
        variables = [f"{name}={value}" for name, value in environment.items()]
        words = [folder, str(len(variables)), *variables, *argv]
        os.pwrite(self.memory, b"".join(os.fsencode(word) + b"\0" for word in words), 0)
        assert self.process.stdin is not None  # noqa: S101  it is a pipe
        with self.process.stdin as start:
            start.write(b".")
        with self._lock:
            output, self.output = self.output, -1
        return output

    def close(self) -> None:
        """End it and everything that serves it."""
        with suppress(OSError):
            if self.process.stdin is not None:
                self.process.stdin.close()
        if self.process.poll() is None:
            with suppress(ProcessLookupError):  # the whole group, as it may be starting still
                os.killpg(self.process.pid, signal.SIGKILL)
        with self._lock:
            output, self.output = self.output, -1
        if output >= 0:
            os.close(output)
        self.wrapped.close()
        self.pins.close()


@dataclass
class _Handed(WrappedCommand):
    """A command for a waiting sandbox."""

    spare: _Spare | None = None

    def start_captured(self, *, on_end: Callable[[], None], environment: Mapping[str, str], folder: str) -> Captured:
        """Hand the command over. Raises OSError if the sandbox has ended meanwhile."""
        assert self.spare is not None  # noqa: S101  wrap_captured sets it
        if self.programs is not None:
            self.programs.clear()
        output = self.spare.hand(self.argv, environment, folder)
        self.spare.ended.add_done_callback(lambda _: on_end())
        return Captured(self.spare.process, output)


_waiting: list[_Spare] = []
_jobs: "SimpleQueue[Callable[[], object]]" = SimpleQueue()
_workers: list[threading.Thread] = []
_guard = threading.Lock()


def _fits(argv: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Return whether bash can hand this over: valid names, no NUL, no large words."""
    words = [*argv, *environment.values()]
    return (
        all(name.isidentifier() and name.isascii() for name in environment)
        and not any("\0" in word for word in words)
        and sum(map(len, words)) < _MAX_BYTES
    )


def _take(profile: Profile) -> _Spare | None:
    """Remove and return a waiting sandbox for this profile; end those that have become unusable."""
    wanted = _comparable(profile)
    files = _identities(profile)
    usable = [one for one in _remove(lambda one: one.profile.workspace == profile.workspace) if one.usable]
    found = next((one for one in usable if one.profile == wanted and one.pins.identities == files), None)
    for one in usable:
        if one is not found:
            _in_background(one.close)
    return found


def _remove(matches: Callable[[_Spare], bool]) -> list[_Spare]:
    with _guard:
        found = [one for one in _waiting if matches(one)]
        _waiting[:] = [one for one in _waiting if one not in found]
    return found


def _in_background(action: Callable[[], object]) -> None:
    """Have the worker do it. A thread of its own would make the command wait until that thread has begun."""
    _jobs.put(action)
    with _guard:
        if not any(worker.is_alive() for worker in _workers):
            _workers[:] = [threading.Thread(target=_work, name="spare sandbox", daemon=True)]
            _workers[0].start()


def _work() -> None:
    while True:
        _jobs.get()()


def _forget_worker() -> None:
    """After a fork: what waits belongs to the parent."""
    while not _jobs.empty():
        _jobs.get_nowait()


os.register_at_fork(after_in_child=_forget_worker)


@atexit.register
def _end_all() -> None:
    """End what starts or waits, before this process ends: bubblewrap must not be killed while it starts."""
    if any(worker.is_alive() for worker in _workers):
        idle = threading.Event()
        _jobs.put(idle.set)
        idle.wait(_EXIT_SECONDS)
    end_waiting()


def _start(profile: Profile, shell: str) -> None:
    with suppress(OSError, SandboxMissing):  # the next command reports it
        pins = _Pins(profile)
        spare = _started(profile, pins, shell)
        if not pins.complete or pins.identities != _identities(profile):  # a path changed while it started
            spare.close()
            return
        with _guard:
            _waiting.insert(0, spare)
            surplus = _waiting[_MAX_WAITING:]
            del _waiting[_MAX_WAITING:]
        for one in surplus:
            one.close()


def _started(profile: Profile, pins: "_Pins", shell: str) -> _Spare:
    memory = memory_file(b"")
    program = _PROGRAM.format(seconds=_IDLE_SECONDS, memory=memory)
    wrapped = wrap([shell, "--norc", "--noprofile", "-c", program], profile)
    wrapped.git = None  # recorded when a command is handed over
    wrapped.descriptors = (*wrapped.descriptors, memory)
    ended: Future[None] = Future()
    ended.add_done_callback(lambda _: _forget(wrapped))
    read_end, write_end = os.pipe()
    try:
        process = wrapped.start(
            on_end=lambda: ended.set_result(None), environment={}, cwd=profile.workspace, start_new_session=True,
            stdin=subprocess.PIPE, stdout=write_end, stderr=write_end,
        )  # fmt: skip
    except OSError:
        os.close(read_end)
        wrapped.close()
        pins.close()
        raise
    finally:
        os.close(write_end)
    return _Spare(profile, pins, wrapped, memory, process, read_end, ended, wrapped.variables)


def _forget(wrapped: WrappedCommand) -> None:
    """Close a sandbox that ended while it waited."""
    for spare in _remove(lambda one: one.wrapped is wrapped):
        spare.close()


def _comparable(profile: Profile) -> Profile:
    """Return the profile without variables, which are handed over later."""
    return replace(profile, environment={})


def _paths(profile: Profile) -> tuple[str, ...]:
    """Return every path of a profile that is a mount in the sandbox."""
    guarded = (f"{git.path}/{part}" for git in profile.git for part in git.guarded)
    folders = (*profile.roots, *profile.writable, *profile.readable, *profile.hidden, *profile.hidden_inside)
    files = (*profile.masked, *(path for path, _ in profile.redacted), *(git.path for git in profile.git), *guarded)
    return (*folders, *profile.caches, *files)


def _identities(profile: Profile) -> tuple[tuple[int, int], ...]:
    return tuple(_identity(path) for path in _paths(profile))


def _identity(path: "str | int") -> tuple[int, int]:
    try:
        found = os.stat(path)  # noqa: PTH116  called for every path before every command
    except OSError:
        return (-1, -1)
    return (found.st_dev, found.st_ino)


class _Pins:
    """Open descriptors of a profile's files: without them, a deleted file's number could be used again."""

    def __init__(self, profile: Profile) -> None:
        self._descriptors: list[int] = []
        for path in _paths(profile):
            with suppress(OSError):
                self._descriptors.append(os.open(path, os.O_PATH | os.O_CLOEXEC))
        self.identities = _identities(profile)

    @property
    def complete(self) -> bool:
        """Return whether every file is the one that is open."""
        return tuple(map(_identity, self._descriptors)) == self.identities

    def close(self) -> None:
        """Close the descriptors. May be called again."""
        descriptors, self._descriptors = self._descriptors, []
        for descriptor in descriptors:
            os.close(descriptor)
