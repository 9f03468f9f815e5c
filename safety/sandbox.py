"""The OS sandbox: a profile, the bubblewrap command line it stands for, and wrapping a command into it.

What is on this machine (interpreters, caches, devices) is found by safety/sandbox_profile.py; here nothing is looked at
before `wrap`.
"""

import os
import shutil
import stat
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

from configs.errors import SandboxMissing
from safety.connections import Connections, can_answer
from safety.egress import Egress, Upstream
from safety.network_hosts import NO_HOSTS, Hosts
from safety.seccomp import seccomp_filter
from safety.wrapped import Wrapped

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
class GitFolder:
    """A repository's .git in a writable folder, and which of its guarded parts exist."""

    path: str
    guarded: tuple[str, ...] = ()
    """hooks, config ...: what git obeys."""


@dataclass(frozen=True)
class Profile:
    """What a command inside the sandbox may see and do. All paths are absolute and resolved."""

    workspace: str
    home: str
    writable: tuple[str, ...] = ()
    """Further folders it may write to: --add-dir, caches."""
    readable: tuple[str, ...] = ()
    """Folders and files within hidden ones that it may read: interpreters, PATH entries."""
    hidden: tuple[str, ...] = ()
    """Existing folders replaced by empty ones."""
    masked: tuple[str, ...] = ()
    """Existing files replaced by empty ones."""
    hidden_inside: tuple[str, ...] = ()
    """Existing folders below writable ones that are replaced by empty ones."""
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
    for path in (*profile.writable, profile.workspace):
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
    descriptor = os.memfd_create("seccomp", 0)
    os.write(descriptor, seccomp_filter(unix=answers))
    os.lseek(descriptor, 0, os.SEEK_SET)
    options, environment = ["--seccomp", str(descriptor)], {**profile.environment, "PWD": folder or profile.workspace}
    egress = Egress(profile.hosts, profile.upstream) if profile.network == "list" else None
    if egress is not None:
        options += egress.options
        environment |= egress.environment()
        egress.start()
    connections = Connections(abstract=profile.network != "on") if answers else None
    if connections is not None:
        connections.start()
    return Wrapped(sandbox_command(profile, argv, options, folder), environment, descriptor, connections, egress)


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
        tried = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except KeyError as error:
        return f"the sandbox knows no system calls of {error}", "--no-sandbox"
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not start: {error}", "--no-sandbox"
    if tried.returncode == 0:
        return None
    said = (tried.stderr.strip().splitlines() or ["no reason given"])[-1]
    return f"bubblewrap may not make a sandbox here: {said}", _ALLOW_NAMESPACES


@lru_cache(maxsize=1)
def can_forbid_namespaces() -> bool:
    """Tell whether this bubblewrap knows --disable-userns."""
    try:
        tried = subprocess.run(["bwrap", "--help"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "--disable-userns" in tried.stdout + tried.stderr


def mend_git(profile: Profile) -> list[str]:
    """Remove .git/commondir files that appeared in guarded repositories: git would obey the folder they name.

    Call it after every run; returns what was removed.
    """
    found = [Path(git.path, "commondir") for git in profile.git if "commondir" not in git.guarded]
    present = [path for path in found if path.exists() or path.is_symlink()]
    for path in present:
        path.unlink()
    return [str(path) for path in present]
