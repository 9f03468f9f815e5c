"""Run as a separate process: restrict a command with Landlock and seccomp, run it, and end everything it started.

The host passes this file's text to `python -I -S -c`, so it uses only the standard library. Its argument is the
descriptor of the order, a JSON object. Three processes take part: the first one waits, so that killing it is noticed;
the second one is the parent of everything that the command leaves behind, and removes the temporary folder if the host
was killed; the third one restricts itself and becomes the command.
"""

import ctypes
import json
import os
import shutil
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PATH_BENEATH = 1
_SET_PDEATHSIG, _CAPBSET_DROP, _SET_NO_NEW_PRIVS, _SET_CHILD_SUBREAPER, _SET_SECCOMP = 1, 24, 38, 36, 22
_CAP_AMBIENT, _CLEAR_ALL, _SECCOMP_FILTER = 47, 4, 2
_CAPABILITY_VERSION = 0x20080522
_CANNOT_RUN, _NOT_FOUND = 126, 127
_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Run the ordered command and exit with its code; 128 + N if signal N ended it."""
    with os.fdopen(int(sys.argv[1])) as file:
        order = json.load(file)
    _prctl(_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != order["parent"]:  # it has ended already
        return
    first = os.getpid()
    second = os.fork()
    if second == 0:
        os._exit(_run_and_clean(order, first))
    os.close(order["ended"])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(second, 0)[1]))


def _run_and_clean(order: "dict[str, Any]", first: int) -> int:
    os.setsid()
    _hide_environment()
    _prctl(_SET_CHILD_SUBREAPER, 1)
    command = os.fork()
    if command == 0:
        _become_command(order)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(command, signal.SIGKILL))
    _prctl(_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != first:
        os.kill(command, signal.SIGKILL)
    _close_streams()
    os.waitid(os.P_PID, command, os.WEXITED | os.WNOWAIT)  # until it is reaped, its number belongs to it
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    code = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
    _end_descendants()
    if os.getppid() != first:  # the host, which removes it otherwise, was killed
        shutil.rmtree(order["temporary"], ignore_errors=True)
    return code if code >= 0 else 128 - code


def _hide_environment() -> None:
    """Overwrite this process's copy of the command's environment: it is not part of the command."""
    fields = _read("/proc/self/stat").rpartition(b")")[2].split()
    start, end = int(fields[47]), int(fields[48])
    memory = os.open("/proc/self/mem", os.O_RDWR)
    os.pwrite(memory, bytes(end - start), start)
    os.close(memory)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123  pathlib takes long to import
        return file.read()


def _close_streams() -> None:
    """Close the command's streams, so that their readers see the end when the command closes them."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)


def _end_descendants() -> None:
    """Kill until no child is left. The children of a killed process become children of this one."""
    try:
        while True:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):  # only then is there anything to look for
                for child in _children():
                    os.kill(child, signal.SIGKILL)
                os.waitpid(-1, 0)
    except ChildProcessError:
        return


def _children() -> "Iterator[int]":
    own = str(os.getpid()).encode()
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit() and _parent(name) == own:
            yield int(name)


def _parent(process: str) -> bytes:
    try:
        return _read(f"/proc/{process}/stat").rpartition(b")")[2].split()[1]
    except OSError:  # it has ended
        return b""


def _become_command(order: "dict[str, Any]") -> None:
    try:
        parent = os.getppid()
        os.setsid()
        _prctl(_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(_CANNOT_RUN)
        os.chdir(order["folder"])
        restrict(order)
        for descriptor in (order["filter"], order["ended"]):
            os.close(descriptor)
        # With variables of its own: execvp() would use the environment that was overwritten.
        os.execvpe(order["argv"][0], order["argv"], os.environ)  # noqa: S606  the command is a list of words
    except OSError as error:
        os.write(2, f"ml-intern sandbox: {error.strerror}: {error.filename or order['argv'][0]}\n".encode())
        os._exit(_NOT_FOUND if isinstance(error, FileNotFoundError) else _CANNOT_RUN)


def restrict(order: "dict[str, Any]") -> None:
    """Give up privileges, and apply the rules to this process and everything it starts."""
    ruleset = _ruleset(order)
    program = _read(f"/proc/self/fd/{order['filter']}")
    _prctl(_SET_NO_NEW_PRIVS, 1)
    _drop_capabilities()
    _check(_libc.syscall(ctypes.c_long(_RESTRICT_SELF), ctypes.c_int(ruleset), ctypes.c_uint(0)), "Landlock")
    os.close(ruleset)
    _install_filter(program)


def _ruleset(order: "dict[str, Any]") -> int:
    attributes = (ctypes.c_uint64 * 3)(order["handled"], 0, order["scoped"])
    size = ctypes.c_size_t(order["size"])
    ruleset = int(_libc.syscall(ctypes.c_long(_CREATE_RULESET), attributes, size, ctypes.c_uint(0)))
    _check(ruleset, "Landlock")
    for path, rights in order["rules"]:
        try:
            opened = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue  # it has disappeared
        rule = ctypes.create_string_buffer(rights.to_bytes(8, sys.byteorder) + opened.to_bytes(4, sys.byteorder), 12)
        added = _libc.syscall(
            ctypes.c_long(_ADD_RULE), ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint(0)
        )
        _check(added, path)
        os.close(opened)
    return ruleset


def _drop_capabilities() -> None:
    for number in range(64):
        _libc.prctl(_CAPBSET_DROP, number, 0, 0, 0)  # fails without CAP_SETPCAP: then there are none to regain
    _libc.prctl(_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0)
    header, nothing = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
    _check(_libc.capset(header, nothing), "capset")


def _install_filter(program: bytes) -> None:
    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))

    argument = ctypes.byref(Program(len(program) // 8, program))
    _check(_libc.prctl(_SET_SECCOMP, _SECCOMP_FILTER, argument, 0, 0), "seccomp")


def _prctl(option: int, value: int) -> None:
    _check(_libc.prctl(option, int(value), 0, 0, 0), "prctl")


def _check(result: int, what: str) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)


if __name__ == "__main__":
    main()
