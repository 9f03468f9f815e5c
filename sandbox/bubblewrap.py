"""Sandbox profiles, their bubblewrap command lines, and whether bubblewrap works here.

sandbox/profile.py builds the profile from what is on this machine. Only the checks touch the system here.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from ml_intern.configs.errors import SandboxMissing
from ml_intern.safety.secrets.known import without_secrets
from ml_intern.sandbox.egress import UpstreamProxy
from ml_intern.sandbox.git.tree import GitFolder
from ml_intern.sandbox.network_hosts import NO_HOSTS, AllowedHosts
from ml_intern.sandbox.seccomp import seccomp_filter

Network = Literal["off", "list", "on"]
Kind = Literal["bubblewrap", "basic"]

ISOLATION = (
    "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
    "--new-session", "--die-with-parent", "--cap-drop", "ALL", "--hostname", "sandbox",
)  # fmt: skip
_ALLOW_NAMESPACES = (
    "allow user namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns=0 or "
    "kernel.unprivileged_userns_clone=1), or use --no-sandbox"
)


@dataclass(frozen=True)
class Profile:
    """The permissions of a sandboxed command. All paths are absolute and resolved."""

    workspace: str
    home: str
    added: tuple[str, ...] = ()
    """Additional folders of the user, writable."""
    writable: tuple[str, ...] = ()
    """Further writable folders."""
    caches: tuple[str, ...] = ()
    """Caches whose changes stay inside."""
    cache_store: str = ""
    """The folder for what commands write to the caches."""
    readable: tuple[str, ...] = ()
    """Readable folders and files inside hidden ones: interpreters, PATH entries."""
    hidden: tuple[str, ...] = ()
    """Existing folders replaced by empty ones."""
    masked: tuple[str, ...] = ()
    """Existing files replaced by empty ones."""
    hidden_inside: tuple[str, ...] = ()
    """Existing folders below writable ones that are replaced by empty ones."""
    redacted: tuple[tuple[str, str], ...] = ()
    """Existing files and the text shown instead, read-only."""
    locked: tuple[str, ...] = ()
    """Files below writable folders that are read-only. The basic sandbox does not enforce it."""
    unreadable: tuple[str, ...] = ()
    """Files that are empty inside, whatever folder they are in. The basic sandbox does not enforce it."""
    read_only: bool = False
    """Whether all folders are read-only. The basic sandbox does not enforce it."""
    programs: bool = False
    """Whether the programs that the command starts are recorded."""
    git: tuple[GitFolder, ...] = ()
    devices: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    network: Network = "off"
    hosts: AllowedHosts = NO_HOSTS
    """The hosts that network `list` allows."""
    upstream: UpstreamProxy | None = None
    """The proxy that this machine uses."""
    kind: Kind = "bubblewrap"
    """The sandbox that enforces the profile."""
    nested_namespaces: bool = True
    """False if this bubblewrap can forbid nested user namespaces (0.8 and later)."""

    @property
    def roots(self) -> tuple[str, ...]:
        """Return the user's writable folders."""
        return (*self.added, self.workspace)

    @property
    def name(self) -> str:
        """Return the profile's kind, without paths."""
        return f"{'basic' if self.kind == 'basic' else 'bwrap'} network {self.network}"


def sandbox_command(
    profile: Profile, argv: Sequence[str], options: Sequence[str] = (), folder: str = "", *, caches: Sequence[str] = ()
) -> list[str]:
    """Return the bubblewrap command line that runs `argv` in `folder` (the workspace by default).

    `caches` are bubblewrap options for the caches, which the workspace may contain or lie in. `options` come last, so
    that they hold inside the workspace too. The command inherits bubblewrap's environment, so that no value appears on
    a command line.
    """
    command = ["bwrap", *ISOLATION, *([] if profile.network == "on" else ["--unshare-net"])]
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
    command += caches
    for path in (*profile.writable, *profile.roots):
        command += ["--ro-bind" if profile.read_only else "--bind", path, path]
    for path in profile.hidden_inside:
        command += ["--tmpfs", path]
    command += [part for git in profile.git if not profile.read_only for part in _git_options(git)]
    return [*command, *_file_options(profile), *options, "--chdir", folder or profile.workspace, "--", *argv]


def _file_options(profile: Profile) -> list[str]:
    locked = [("--ro-bind-try", path, path) for path in profile.locked]
    return [
        word for bind in (*locked, *(("--ro-bind", "/dev/null", path) for path in profile.unreadable)) for word in bind
    ]


def _git_options(git: GitFolder) -> list[str]:
    """Bind .git onto itself, since a mount point cannot be moved away; git's control files are read-only."""
    guarded = [f"{git.path}/{part}" for part in git.guarded]
    return [
        "--ro-bind" if git.is_file else "--bind",
        git.path,
        git.path,
        *(word for path in guarded for word in ("--ro-bind", path, path)),
    ]


def memory_file(content: bytes) -> int:
    """Return a descriptor from which bubblewrap can read `content`."""
    descriptor = os.memfd_create("ml-intern", 0)
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def require_sandbox() -> None:
    """Raise SandboxMissing with a remedy unless the sandbox works on this machine."""
    if problem := sandbox_problem():
        raise SandboxMissing(*problem)


@lru_cache(maxsize=1)
def sandbox_problem() -> tuple[str, str] | None:
    """Return why the sandbox does not work and a remedy, or None if it works. Checked once per process."""
    if shutil.which("bwrap") is None:
        return (
            "bubblewrap is not installed",
            "apt install bubblewrap (same name in dnf, pacman and apk), or use --no-sandbox",
        )
    try:
        seccomp_filter()
        command = [
            "bwrap",
            *ISOLATION,
            "--unshare-net",
            "--ro-bind",
            "/",
            "/",
            "--dev",
            "/dev",
            "--proc",
            "/proc",
            "true",
        ]
        result = _run(command)
    except KeyError as error:
        return f"the sandbox does not support the architecture {error}", "use --no-sandbox"
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not start: {error}", "use --no-sandbox"
    if result.returncode == 0:
        return None
    reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
    return f"bubblewrap cannot create a sandbox on this machine: {reason}", _ALLOW_NAMESPACES


def _run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    environment = without_secrets(os.environ)
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=False)


@lru_cache(maxsize=1)
def can_forbid_namespaces() -> bool:
    """Return whether this bubblewrap supports --disable-userns."""
    try:
        result = _run(["bwrap", "--help"])
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "--disable-userns" in result.stdout + result.stderr
