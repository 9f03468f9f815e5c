"""Sandbox escapes. Each is a bash script that succeeds outside, which the test verifies before running it inside.

kind: "says" prints {canary}; "changes" alters the file named third; "survives" leaves a process with {mark} running.
"""

from typing import NamedTuple


class Escape(NamedTuple):
    name: str
    command: str
    kind: str = "says"
    changed: str = ""


_CREDENTIALS = (
    ".ssh/id_rsa", ".aws/credentials", ".netrc", ".git-credentials", ".config/gh/hosts.yml", ".cache/huggingface/token",
    ".docker/config.json", ".kube/config", ".pypirc", ".bash_history",
)  # fmt: skip
CREDENTIAL_FILES = _CREDENTIALS

_KEY = "{home}/.ssh/id_rsa"
_READS = {
    "python": f"{{python}} -c \"print(open('{_KEY}').read())\"",
    "a link in the workspace": f"ln -sf {_KEY} link; cat link",
    "a hard link": f"ln {_KEY} hard; cat hard",
    "a path upwards": "cat ../home/.ssh/id_rsa",
    "a folder upwards": "cd ../home && cat .ssh/id_rsa",
    "its own root": f"cat /proc/self/root{_KEY}",
    "the root of process 1": f"cat /proc/1/root{_KEY}",
    "the root of a foreign process": f"cat /proc/{{pid}}/root{_KEY}",
    "the folder of a foreign process": "cat /proc/{pid}/cwd/home/.ssh/id_rsa",
    "an open file of a foreign process": "cat /proc/{pid}/fd/0",
    "find": "find {base} -name id_rsa -exec cat {{}} +",
    "tar": f"tar cO {_KEY} 2>/dev/null | cat",
    "a new mount namespace": f"unshare -Urm bash -c 'umount {{home}} 2>/dev/null; cat {_KEY}'",
    "unmounting": f"umount {{home}} 2>/dev/null; umount -l {{home}} 2>/dev/null; cat {_KEY}",
    "chroot": f"unshare -Ur chroot /proc/{{pid}}/root cat {_KEY}",
    "our own data": "cat {own}/threads.db",
    "the environment": "env",
    "its own environ": "cat /proc/self/environ",
    "the environ of the parent": "bash -c 'bash -c \"cat /proc/\\$PPID/environ; true\"; true'",
    "the environ of a foreign process": "cat /proc/{pid}/environ",
    "ps with environments": "ps eww {pid}",
    "the command line of a foreign process": "cat /proc/{pid}/cmdline",
    "the list of processes": "ps aux",
    "a file in /tmp": "cat {tmp}",
    "a file in /dev/shm": "cat {shm}",
    "the login of the git settings": "git config --global --get user.password",
}

_PY = '{python} - <<"EOF"\nimport ctypes, errno, os, socket\nlibc = ctypes.CDLL(None, use_errno=True)\n%s\nEOF'


def _reached(call: str) -> str:
    """A system call counts as reached if it fails for any reason other than a filter."""
    filtered = "errno.EPERM, errno.ENOSYS, errno.EACCES"
    return _PY % f"r = {call}\nif r >= 0 or ctypes.get_errno() not in ({filtered}): print('{{canary}}')"


_CONNECT = "s = socket.create_connection(('%s', {port}), 3)\nprint(s.recv(99).decode())"
_UNIX = "s = socket.socket(1)\ns.settimeout(3)\ns.connect('%s')\nprint(s.recv(99).decode())"
_TALKS = {
    "TCP to this machine": _CONNECT % "127.0.0.1",
    "TCP by name": _CONNECT % "localhost",
    "TCP to any address": _CONNECT % "0.0.0.0",
    "UDP to this machine": """s = socket.socket(2, 2)
s.settimeout(3)
s.sendto(b'x', ('127.0.0.1', {udp}))
print(s.recv(99).decode())""",
    "an abstract unix socket": _UNIX % "\\0{abstract}",
    "a unix socket in the workspace": _UNIX % "inside.sock",
    "a unix socket outside": _UNIX % "{outside}/s",
    "a unix socket in the workspace, not waiting": _UNIX.replace("s.settimeout(3)", "s.setblocking(False)").replace(
        "print(", "import time; time.sleep(0.3); print("
    )
    % "inside.sock",
    "a unix socket by a link": "os.symlink('{ws}/inside.sock', '/tmp/l{mark}')\n" + _UNIX % "/tmp/l{mark}",
    "a unix socket by a linked folder": "os.symlink('{ws}', '/tmp/d{mark}')\n" + _UNIX % "/tmp/d{mark}/inside.sock",
    "a unix socket by the root of a process": _UNIX % "/proc/self/root{ws}/inside.sock",
    "a unix socket by the folder of a process": _UNIX % "/proc/self/cwd/inside.sock",
    "a unix socket by its descriptor": (
        "f = os.open('{ws}/inside.sock', os.O_PATH)\n" + _UNIX.replace("'%s'", "f'/proc/self/fd/{{f}}'")
    ),
    "a unix socket that is swapped in": """import threading
mine = socket.socket(1)
mine.bind('/tmp/m{mark}')
mine.listen(999)
libc.symlink(b'/tmp/m{mark}', b'/tmp/l{mark}')
def swap():
    for _ in range(20000):
        for target in (b'{ws}/inside.sock', b'/tmp/m{mark}'):
            libc.symlink(target, b'/tmp/n{mark}')
            libc.rename(b'/tmp/n{mark}', b'/tmp/l{mark}')
threading.Thread(target=swap, daemon=True).start()
for _ in range(300):
    s = socket.socket(1)
    s.settimeout(0.2)
    try:
        s.connect('/tmp/l{mark}')
        if s.getpeername() != '/tmp/m{mark}':
            print(s.recv(99).decode())
            break
    except OSError:
        pass
""",
    "a unix socket by an address that changes": """import threading
mine = socket.socket(1)
mine.bind('/tmp/m{mark}')
mine.listen(999)
good, bad = (b'\\x01\\x00' + p.encode() + bytes(110 - len(p)) for p in ('/tmp/m{mark}', '{ws}/inside.sock'))
buffer = ctypes.create_string_buffer(112)
buffer.raw = good
def change():
    for _ in range(200000):
        ctypes.memmove(buffer, bad, 112)
        ctypes.memmove(buffer, good, 112)
threading.Thread(target=change, daemon=True).start()
for _ in range(300):
    s = socket.socket(1)
    s.settimeout(0.2)
    if libc.connect(s.fileno(), buffer, 110) == 0 and s.getpeername() != '/tmp/m{mark}':
        try:
            print(s.recv(99).decode())
            break
        except OSError:
            pass
""",
    "a unix datagram socket": "socket.socket(1, 2)\nprint('{canary}')",
    "a unix datagram socket by its raw kind": "socket.socket(1, 3)\nprint('{canary}')",
    "a unix socket by a pair": "a, b = socket.socketpair(1, 2)\na.sendto(b'x', 'inside.dgram')\nprint('{canary}')",
    "vsock": "socket.socket(40, 1)\nprint('{canary}')",
    "a packet socket": "socket.socket(17, 3)\nprint('{canary}')",
    "the crypto socket": "socket.socket(38, 5)\nprint('{canary}')",
    "shared memory": """i = libc.shmget({shmkey}, 0, 0)
libc.shmat.restype = ctypes.c_void_p
print(ctypes.string_at(libc.shmat(i, None, 0)).decode() if i >= 0 else '')""",
    "tracing a foreign process": "print('{canary}' if libc.ptrace(16, {pid}, 0, 0) == 0 else '')",
    "reading foreign memory": "open('/proc/{pid}/mem', 'rb')\nprint('{canary}')",
    # bash shows the text of a command that a signal killed: the canary stands in it backwards.
    "an int 0x80 system call": """import mmap
m = mmap.mmap(-1, 4096, prot=7)
m.write(bytes.fromhex('b814000000cd80c3'))
f = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))
print('{yranac}'[::-1] if f() > 0 else '')""",
}
_CALLS = {
    "io_uring": "libc.syscall(425, 1, 0)",
    "the user's keyring": "libc.syscall(250, 0, -4, 1)",
    "adding a key": "libc.syscall(248, b'user', b'x', b'y', 1, -4)",
    "bpf": "libc.syscall(321, 0, 0, 0)",
    "perf events": "libc.syscall(298, 0, 0, -1, -1, 0)",
    "userfaultfd": "libc.syscall(323, 0)",
}
_DOES = {
    "signalling a foreign process": "kill -0 {pid} && echo {canary}",
    "stopping a foreign process by name": "pkill -CONT -f '[v]ictim{mark}' && echo {canary}",
    "making a device": "mknod device b 8 0 && echo {canary}",
    "mounting": "mkdir -p m; mount -t tmpfs x m && echo {canary}; umount m 2>/dev/null",
    "a new user namespace": "unshare -Ur true && echo {canary}",
    "kernel messages": ": < /dev/kmsg && echo {canary}",
    "the memory device": "(: < /dev/mem) || (: < /dev/kvm) && echo {canary}",
    "setting nice below zero": "nice -n -5 sh -c 'test $(nice) -lt 0' && echo {canary}",
}

_FILE = "{outside}/file"
_WRITES = {
    "a file outside": (f"echo {{canary}} > {_FILE}", _FILE),
    "appending outside": (f"echo {{canary}} >> {_FILE}", _FILE),
    "a new file outside": ("touch {outside}/new", "{outside}/new"),
    "a new folder outside": ("mkdir {outside}/folder", "{outside}/folder"),
    "removing outside": (f"rm -f {_FILE}", _FILE),
    "renaming outside": (f"mv {_FILE} {_FILE}2", _FILE),
    "a path upwards": ("echo {canary} > ../outside/file", _FILE),
    "a link in the workspace": (f"ln -s {_FILE} l; echo {{canary}} > l", _FILE),
    "a hard link in the workspace": (f"ln {_FILE} h && echo {{canary}} > h", _FILE),
    "a link to a folder": ("ln -s {outside} d; echo {canary} > d/file", _FILE),
    "the root of process 1": (f"echo {{canary}} > /proc/1/root{_FILE}", _FILE),
    "the root of a foreign process": (f"echo {{canary}} > /proc/{{pid}}/root{_FILE}", _FILE),
    "remounting": (f"mount -o remount,rw {{base}} 2>/dev/null; echo {{canary}} > {_FILE}", _FILE),
    "remounting in a namespace": (
        f"unshare -Urm sh -c 'mount -o remount,rw / 2>/dev/null; echo {{canary}} > {_FILE}'", _FILE,
    ),
    "python": (f"{{python}} -c \"open('{_FILE}', 'w').write('{{canary}}')\"", _FILE),
    "dd": (f"echo {{canary}} | dd of={_FILE} 2>/dev/null", _FILE),
    "the shell's start file": ("echo {canary} >> ~/.bashrc", "{home}/.bashrc"),
    "authorized keys": ("echo {canary} >> {home}/.ssh/authorized_keys", "{home}/.ssh/authorized_keys"),
    "our own data": ("echo {canary} > {own}/threads.db", "{own}/threads.db"),
    "a file in /tmp": ("echo {canary} > {tmp}", "{tmp}"),
    "a file in /dev/shm": ("echo {canary} > {shm}", "{shm}"),
}  # fmt: skip
_HOOK, _SETTINGS = "{ws}/.git/hooks/pre-commit", "{ws}/.git/config"
_GIT = {
    "a hook": ("echo {canary} > .git/hooks/pre-commit", _HOOK),
    "a hook by link": ("ln -sf /bin/sh .git/hooks/pre-commit", _HOOK),
    "a hook by the hooks moved away": ("mv .git/hooks h; mkdir -p .git/hooks; echo x > .git/hooks/pre-commit", _HOOK),
    "a hook by the hooks swapped for a link": (
        "mkdir e; echo x > e/pre-commit; rm -rf .git/hooks; ln -s ../e .git/hooks", _HOOK,
    ),
    "the settings": ("echo '[core] pager = x' >> .git/config", _SETTINGS),
    "the settings by git": ("git config core.fsmonitor x", _SETTINGS),
    "the settings replaced": ("cp .git/config c; echo x >> c; mv c .git/config", _SETTINGS),
    "the settings unmounted": ("umount .git/config 2>/dev/null; echo x >> .git/config", _SETTINGS),
    "the folder moved away": ("mv .git g; mkdir .git; echo {canary} > .git/config", _SETTINGS),
    "the folder removed": ("rm -rf .git; mkdir .git; echo {canary} > .git/config", _SETTINGS),
    "the folder swapped for a link": ("mkdir e; mv .git g; ln -s e .git; echo {canary} > .git/config", _SETTINGS),
}  # fmt: skip

ESCAPES: tuple[Escape, ...] = (
    *(Escape(f"reading ~/{name}", f"cat ~/{name}") for name in _CREDENTIALS),
    *(Escape(f"reading by {name}", command) for name, command in _READS.items()),
    *(Escape(f"reaching {name}", _PY % code) for name, code in _TALKS.items()),
    *(Escape(f"calling {name}", _reached(call)) for name, call in _CALLS.items()),
    *(Escape(name, command) for name, command in _DOES.items()),
    *(Escape(f"writing by {name}", command, "changes", changed) for name, (command, changed) in _WRITES.items()),
    *(Escape(f"writing git's {name}", command, "changes", changed) for name, (command, changed) in _GIT.items()),
    Escape("leaving a process behind", "setsid nohup sleep 97531.{mark} >/dev/null 2>&1 &", "survives"),
    Escape("leaving a grandchild behind", "( ( sleep 97532.{mark} >/dev/null 2>&1 & ) & )", "survives"),
)  # fmt: skip

WEAKER = frozenset(
    {
        "reading by the command line of a foreign process", "reading by ps with environments",
        "reading by the list of processes", "reading by a file in /dev/shm", "writing by a file in /dev/shm",
        # The link stays; what git would have run is removed (tests/sandbox/basic).
        "writing git's the folder swapped for a link",
    }
)  # fmt: skip
"""The escapes that the basic sandbox does not prevent, as docs/security.md says."""
