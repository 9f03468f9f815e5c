"""Run as a separate process: mount overlays over caches in a mount namespace of its own, and hold the namespace.

Sandboxes enter the namespace by this process's id. It ends when no process has `users`, a FIFO, open for writing. Every
ml-intern and every sandbox that uses the mounts has it open. The host passes this file's text to `python -I -S -c`, so
it uses only the standard library. The argument is a JSON object with `folder` and `caches`; one line on standard output
is empty when the mounts are ready, or contains the error.
"""

import ctypes
import fcntl
import json
import os
import select
import signal
import sys

_NEW_NAMESPACES = 0x00020000 | 0x10000000  # CLONE_NEWNS | CLONE_NEWUSER
_REC, _SLAVE, _BIND = 0x4000, 1 << 19, 0x1000
_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Mount every cache, then wait for the last user to end."""
    order = json.loads(sys.argv[1])
    try:
        _enter_namespaces()
        for cache in order["caches"]:
            _mount_cache(cache)
        users = os.open("users", os.O_RDONLY | os.O_NONBLOCK, dir_fd=os.open(order["folder"], os.O_PATH))
        lock = os.open(f"{order['folder']}/lock", os.O_RDWR)
    except OSError as error:
        _report(f"{error.strerror or error}: {error.filename or ''}")
        return
    os.setsid()
    _report("")
    _wait(users, lock, order["sweep_s"])


def _report(text: str) -> None:
    os.write(1, text.replace("\n", " ").encode(errors="replace") + b"\n")
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)


def _enter_namespaces() -> None:
    user, group = os.getuid(), os.getgid()
    _check(_libc.unshare(_NEW_NAMESPACES), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123  pathlib takes long to import
            file.write(text)
    _mount(None, "/", None, _REC | _SLAVE)


def _mount_cache(cache: "dict[str, str]") -> None:
    """Mount an overlay over a cache; where that is not possible, an empty private folder."""
    folders = [os.open(cache[name], os.O_PATH | os.O_DIRECTORY) for name in ("path", "upper", "work")]
    lower, upper, work = (f"/proc/self/fd/{folder}" for folder in folders)
    try:
        _mount("overlay", cache["mounted"], f"lowerdir={lower},upperdir={upper},workdir={work},userxattr")
    except OSError:
        _mount(cache["private"], cache["mounted"], None, _BIND)
    for folder in folders:
        os.close(folder)


def _mount(source: "str | None", target: str, options: "str | None", flags: int = 0) -> None:
    kind = b"overlay" if source == "overlay" else None
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, options)]
    _check(_libc.mount(encoded[0], encoded[1], kind, ctypes.c_ulong(flags), encoded[2]), target)


def _check(result: int, what: str) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)


def _wait(users: int, lock: int, sweep_s: float) -> None:
    """Wait until the FIFO has no writer. The lock excludes a new writer while this process ends.

    The FIFO never becomes ready if the process that started this one was killed before it opened it, so each sweep
    looks, too.
    """
    poll = select.poll()
    poll.register(users, select.POLLIN)
    while True:
        if not poll.poll(sweep_s * 1000):
            _end_orphans(users)
        if _has_writer(users):
            continue
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _has_writer(users):
            return
        fcntl.flock(lock, fcntl.LOCK_UN)


def _has_writer(users: int) -> bool:
    try:
        while os.read(users, 4096):  # a sandbox may write into it; the content means nothing
            pass
    except BlockingIOError:
        return True
    return False


def _end_orphans(users: int) -> None:
    """End the sandboxes that use the mounts and whose first process is gone."""
    fifo = os.fstat(users)
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit() and _is_orphan(name) and _has_open(name, (fifo.st_dev, fifo.st_ino)):
            _kill(int(name))


def _kill(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:  # it ended meanwhile
        return


def _is_orphan(process: str) -> bool:
    """Return whether a process is the init of a pid namespace, and no bubblewrap is its parent."""
    status = _status(process)
    namespaces = status.get("NSpid", "").split()
    return len(namespaces) > 1 and namespaces[-1] == "1" and _status(status.get("PPid", "")).get("Name") != "bwrap"


def _status(process: str) -> "dict[str, str]":
    try:
        with open(f"/proc/{process}/status") as file:  # noqa: PTH123
            return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}
    except OSError:
        return {}


def _has_open(process: str, wanted: "tuple[int, int]") -> bool:
    try:
        found = [os.stat(f"/proc/{process}/fd/{number}") for number in os.listdir(f"/proc/{process}/fd")]  # noqa: PTH116, PTH208
    except OSError:
        return False
    return any((one.st_dev, one.st_ino) == wanted for one in found)


if __name__ == "__main__":
    main()
