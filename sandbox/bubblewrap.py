"""The OS sandbox: a profile, the bubblewrap command line it stands for, and wrapping a command into it.

What is on this machine (interpreters, caches, devices) is found by sandbox/profile.py; here nothing is looked at
before `wrap`.
"""

import os
import shutil
import stat
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from ml_intern.configs.errors import SandboxMissing
from ml_intern.safety.secrets.known import without_secrets
from ml_intern.sandbox.command import Wrapped
from ml_intern.sandbox.connections import Connections, can_answer
from ml_intern.sandbox.egress import Egress, Upstream
from ml_intern.sandbox.git_guard import GitFolder
from ml_intern.sandbox.network_hosts import NO_HOSTS, Hosts
from ml_intern.sandbox.seccomp import seccomp_filter

Network = Literal["off", "list", "on"]

_WALLS = (
    "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
    "--new-session", "--die-with-parent", "--cap-drop", "ALL", "--hostname", "sandbox",
)  # fmt: skip
_ALLOW_NAMESPACES = (
    "allow user namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns=0 or "
    "kernel.unprivileged_userns_clone=1), or --no-sandbox"
)


@dataclass(frozen=True)
class Profile:
    """What a command inside the sandbox may see and do. All paths are absolute and resolved."""

    workspace: str
    home: str
    added: tuple[str, ...] = ()
    """Further folders of the user's it may write to."""
    writable: tuple[str, ...] = ()
    """Caches it may write to."""
    readable: tuple[str, ...] = ()
    """Folders and files within hidden ones that it may read: interpreters, PATH entries."""
    hidden: tuple[str, ...] = ()
    """Existing folders replaced by empty ones."""
    masked: tuple[str, ...] = ()
    """Existing files replaced by empty ones."""
    hidden_inside: tuple[str, ...] = ()
    """Existing folders below writable ones that are replaced by empty ones."""
    covered: tuple[tuple[str, str], ...] = ()
    """Existing files that are read as this text instead, and cannot be written."""
    git: tuple[GitFolder, ...] = ()
    devices: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    network: Network = "off"
    hosts: Hosts = NO_HOSTS
    """What network `list` lets through."""
    upstream: Upstream | None = None
    """The proxy this machine itself goes through."""
    nested_namespaces: bool = True
    """False where this bubblewrap can forbid further user namespaces (0.8 and later)."""

    @property
    def roots(self) -> tuple[str, ...]:
        """The folders of the user's that it may write to."""
        return (*self.added, self.workspace)

    @property
    def name(self) -> str:
        """What an approval is bound to: the profile's kind, not its paths."""
        return f"bwrap network {self.network}"


def sandbox_command(profile: Profile, argv: Sequence[str], options: Sequence[str] = (), folder: str = "") -> list[str]:
    """The bubblewrap command line that runs `argv` in `folder` (the workspace by default).

    `options` are further ones of bubblewrap. The environment is the one bubblewrap is started with, so that no value
    stands in a command line.
    """
    command = ["bwrap", *_WALLS, *([] if profile.network == "on" else ["--unshare-net"])]
    command += [] if profile.nested_namespaces else ["--disable-userns"]
    command += ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/dev/shm"]  # noqa: S108
    for device in profile.devices:
        command += ["--dev-bind-try", device, device]
    for path in profile.hidden:
        command += ["--tmpfs", path]
    command += ["--dir", profile.home]
    for path in profile.masked:
        command += ["--ro-bind", "/dev/null", path]
    for path in profile.readable:
        command += ["--ro-bind-try", path, path]
    for path in (*profile.writable, *profile.roots):
        command += ["--bind", path, path]
    for path in profile.hidden_inside:
        command += ["--tmpfs", path]
    command += [part for git in profile.git for part in _guard(git)]
    return [*command, *options, "--chdir", folder or profile.workspace, "--", *argv]


def _guard(git: GitFolder) -> list[str]:
    """Bind .git onto itself first: a mount point cannot be moved away. What git obeys is read-only."""
    guarded = [f"{git.path}/{part}" for part in git.guarded]
    return ["--bind", git.path, git.path, *(word for path in guarded for word in ("--ro-bind", path, path))]


def wrap(argv: Sequence[str], profile: Profile, folder: str = "") -> Wrapped:
    """Wrap a command. The caller starts it, and closes it when it has ended.

    Raises:
        SandboxMissing: bubblewrap is not there or not allowed to make its namespaces.
    """
    require()
    answers = _can_answer()
    seccomp = _in_memory(seccomp_filter(unix=answers))
    covers = {path: _in_memory(text.encode()) for path, text in profile.covered}
    options = [word for path, cover in covers.items() for word in ("--ro-bind-data", str(cover), path)]
    options += ["--seccomp", str(seccomp)]
    environment = {**profile.environment, "PWD": folder or profile.workspace}
    egress = Egress(profile.hosts, profile.upstream) if profile.network == "list" else None
    if egress is not None:
        options += egress.options
        environment |= egress.environment()
        egress.start()
    connections = Connections(abstract=profile.network != "on") if answers else None
    if connections is not None:
        connections.start()
    # By its whole name: what PATH leads to inside is no program to start outside.
    command = [shutil.which("bwrap") or "bwrap", *sandbox_command(profile, argv, options, folder)[1:]]
    return Wrapped(command, environment, (seccomp, *covers.values()), connections, egress)


def _in_memory(content: bytes) -> int:
    """A descriptor that bubblewrap reads this from."""
    descriptor = os.memfd_create("ml-intern", 0)
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


@lru_cache(maxsize=1)
def _can_answer() -> bool:
    """Tell whether connect() can be answered from outside; a bubblewrap that is setuid would lose its privileges."""
    found = shutil.which("bwrap")
    return can_answer() and found is not None and not os.stat(found).st_mode & stat.S_ISUID  # noqa: PTH116


def require() -> None:
    """Raise SandboxMissing, with what to do about it, unless the sandbox works here."""
    if problem := missing():
        raise SandboxMissing(*problem)


@lru_cache(maxsize=1)
def missing() -> tuple[str, str] | None:
    """Why there is no sandbox here and the remedy; None when it works. Tried once per process."""
    if shutil.which("bwrap") is None:
        return (
            "bubblewrap is not installed",
            "apt install bubblewrap (dnf, pacman, apk: the same name), or --no-sandbox",
        )
    try:
        seccomp_filter()
        command = ["bwrap", *_WALLS, "--unshare-net", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "true"]
        tried = _run(command)
    except KeyError as error:
        return f"the sandbox knows no system calls of {error}", "--no-sandbox"
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not start: {error}", "--no-sandbox"
    if tried.returncode == 0:
        return None
    said = (tried.stderr.strip().splitlines() or ["no reason given"])[-1]
    return f"bubblewrap may not make a sandbox here: {said}", _ALLOW_NAMESPACES


def _run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    environment = without_secrets(os.environ)
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=False)


@lru_cache(maxsize=1)
def can_forbid_namespaces() -> bool:
    """Tell whether this bubblewrap knows --disable-userns."""
    try:
        tried = _run(["bwrap", "--help"])
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "--disable-userns" in tried.stdout + tried.stderr
