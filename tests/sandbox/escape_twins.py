"""Harmless twins of the sandbox escapes: what resembles them and is ordinary work. Each must work in the sandbox.

A row is the name of an escape and a script, which runs in a folder of its own below the workspace, with a `data.txt`,
and must end with exit code 0.
"""

from tests.sandbox.escape_cases import CREDENTIAL_FILES

_PY = "{python} - <<'EOF'\nimport ctypes, mmap, os, socket, tempfile, threading\n%s\nEOF"
_PAIR = """server = socket.socket(1)
server.bind('%s')
server.listen(1)
client = socket.socket(1)
client.connect('%s')
server.accept()[0].sendall(b'fine')
assert client.recv(9) == b'fine'"""


def _pair(bound: str, connected: str, before: str = "") -> str:
    """A socket of its own in the temporary folder, where commands may have them."""
    return _PY % f"os.chdir(tempfile.mkdtemp())\n{before}\n{_PAIR % (bound, connected)}"


TWINS: dict[str, str] = {
    **{
        f"reading ~/{name}": f"mkdir -p $(dirname {name}); echo x > ./{name}; cat ./{name}" for name in CREDENTIAL_FILES
    },
    "reading by python": "{python} -c \"print(open('data.txt').read())\"",
    "reading by a link in the workspace": "ln -s data.txt link; cat link",
    "reading by a hard link": "ln data.txt hard; cat hard",
    "reading by a path upwards": "mkdir sub; cat sub/../data.txt",
    "reading by a folder upwards": "mkdir sub; cd sub; cd .. && cat data.txt",
    "reading by its own root": "cat /proc/self/root$PWD/data.txt",
    "reading by the root of process 1": "cat /proc/1/comm",
    "reading by the root of a foreign process": "sleep 9 & cat /proc/$!/comm; kill $!",
    "reading by the folder of a foreign process": "sleep 9 & ls /proc/$!/cwd/data.txt; kill $!",
    "reading by an open file of a foreign process": "exec 5<data.txt; cat /proc/self/fd/5",
    "reading by find": "find . -name data.txt -exec cat {{}} +",
    "reading by tar": "tar cO data.txt | tar tf -",
    "reading by a new mount namespace": "cat /proc/self/mounts",
    "reading by unmounting": "df . >/dev/null",
    "reading by chroot": "readlink /proc/self/root",
    "reading by our own data": "mkdir -p own; echo x > own/threads.db; cat own/threads.db",
    "reading by the environment": "test -n \"$PATH\" -a -n \"$HOME\"",
    "reading by its own environ": "A=fine bash -c 'grep -qz ^A=fine /proc/self/environ; true'",
    "reading by the environ of the parent":
        "A=fine bash -c 'bash -c \"grep -az ^A=fine /proc/\\$PPID/environ; true\"; true'",
    "reading by the environ of a foreign process":
        "A=fine sleep 9 & sleep 0.1; grep -aqz ^A=fine /proc/$!/environ; kill $!",
    "reading by ps with environments": "ps ww $$",
    "reading by the command line of a foreign process": "sleep 9 & sleep 0.1; grep -a sleep /proc/$!/cmdline; kill $!",
    "reading by the list of processes": "sleep 9.{mark} & ps ax | grep -q [s]leep; kill $!",
    "reading by a file in /tmp": "echo fine > $TMPDIR/a; cat $TMPDIR/a",
    "reading by a file in /dev/shm": "echo fine > /dev/shm/a{mark}; cat /dev/shm/a{mark}; rm /dev/shm/a{mark}",
    "reading by the login of the git settings": "git config --get core.bare",
    "reaching TCP to this machine": _PY % "s = socket.socket(); s.close()",
    "reaching TCP by name": _PY % "assert socket.gethostbyname('localhost').startswith('127.')",
    "reaching TCP to any address": _PY % "s = socket.socket(); s.setsockopt(1, 2, 1)",
    "reaching UDP to this machine": _PY % "assert socket.getaddrinfo('127.0.0.1', 80)",
    "reaching an abstract unix socket": _PY % "a, b = socket.socketpair(); a.sendall(b'x'); assert b.recv(9) == b'x'",
    "reaching a unix socket in the workspace": _pair("s", "s"),
    "reaching a unix socket outside": _pair("t", "t"),
    "reaching a unix socket in the workspace, not waiting": _pair("n", "n", "socket.setdefaulttimeout(30)"),
    "reaching a unix socket by a link": _pair("s", "l", "os.symlink('s', 'l')"),
    "reaching a unix socket by a linked folder": _pair("d/s", "e/s", "os.mkdir('d'); os.symlink('d', 'e')"),
    "reaching a unix socket by the root of a process": _pair("s", "' + os.getcwd() + '/s"),
    "reaching a unix socket by the folder of a process": _pair("s", "./s"),
    "reaching a unix socket by its descriptor":
        _PY % "r, w = os.pipe(); os.write(w, b'x'); assert os.read(r, 1) == b'x'",
    "reaching a unix socket that is swapped in":
        _PY % "os.symlink('a', 'l'); os.symlink('b', 'n'); os.rename('n', 'l')",
    "reaching a unix socket by an address that changes":
        _PY % "t = threading.Thread(target=print); t.start(); t.join()",
    "reaching a unix datagram socket": _PY % "a, b = socket.socketpair(1, 1); a.sendall(b'x'); assert b.recv(1)",
    "reaching a unix datagram socket by its raw kind": _PY % "socket.socket(1, 1).close()",
    "reaching a unix socket by a pair": _PY % "a, b = socket.socketpair(); b.sendall(b'x'); assert a.recv(1)",
    "reaching vsock": _PY % "socket.socket(2, 1).close()",
    "reaching a packet socket": _PY % "socket.socket(10, 1).close()",
    "reaching the crypto socket": "sha256sum data.txt; {python} -c \"import hashlib; hashlib.sha256(b'x')\"",
    "reaching shared memory":
        _PY % "m = mmap.mmap(-1, 4096)\nif os.fork() == 0: m[0] = 7; os._exit(0)\nos.wait(); assert m[0] == 7",
    "reaching tracing a foreign process": "sleep 9 & kill -0 $!; kill $!",
    "reaching reading foreign memory": _PY % "assert ctypes.string_at(ctypes.create_string_buffer(b'fine')) == b'fine'",
    "reaching an int 0x80 system call": _PY % "assert ctypes.CDLL(None).getpid() == os.getpid()",
    "calling io_uring": "{python} -c 'import asyncio; asyncio.run(asyncio.sleep(0))'",
    "calling the user's keyring": _PY % "import getpass; assert getpass.getuser()",
    "calling adding a key": _PY % "import secrets; secrets.token_hex()",
    "calling bpf": "cat /proc/sys/kernel/ostype",
    "calling perf events": "{python} -c 'import cProfile; cProfile.run(\"1\")'",
    "calling userfaultfd": _PY % "m = mmap.mmap(-1, 1 << 20); m[0:4] = b'fine'",
    "signalling a foreign process": "sleep 9 & kill $!; wait $! || true",
    "stopping a foreign process by name": "sleep 8.{mark} & sleep 0.1; pkill -f '[s]leep 8.{mark}'",
    "making a device": "mkfifo pipe; echo fine > pipe & cat pipe",
    "mounting": "cat /proc/self/mountinfo >/dev/null",
    "a new user namespace": "id -u",
    "kernel messages": "uname -r",
    "the memory device": "head -c 9 /dev/zero > z; : > /dev/null; head -c 9 /dev/urandom > r",
    "setting nice below zero": "nice -n 5 true",
    "writing by a file outside": "echo x > file",
    "writing by appending outside": "echo x >> data.txt",
    "writing by a new file outside": "touch new",
    "writing by a new folder outside": "mkdir -p a/b/c",
    "writing by removing outside": "rm -f data.txt",
    "writing by renaming outside": "mv data.txt data2.txt",
    "writing by a path upwards": "mkdir s; echo x > s/../file",
    "writing by a link in the workspace": "ln -s data.txt l; echo x > l",
    "writing by a hard link in the workspace": "ln data.txt h && echo x > h",
    "writing by a link to a folder": "mkdir s; ln -s s d; echo x > d/file",
    "writing by the root of process 1": "echo x > /proc/self/root$PWD/file",
    "writing by the root of a foreign process": "echo x > /proc/self/cwd/file",
    "writing by remounting": "cp data.txt copy",
    "writing by remounting in a namespace": "cp -r . $TMPDIR/copy",
    "writing by python": "{python} -c \"open('file', 'w').write('x')\"",
    "writing by dd": "echo x | dd of=file 2>/dev/null",
    "writing by the shell's start file": "echo x >> ~/notes; cat ~/notes",
    "writing by authorized keys": "mkdir -p ~/keys; echo x >> ~/keys/list",
    "writing by our own data": "echo x > threads.db",
    "writing by a file in /tmp": "echo x > $(mktemp)",
    "writing by a file in /dev/shm": "echo x > /dev/shm/b{mark}; rm /dev/shm/b{mark}",
    "writing git's a hook": "git status",
    "writing git's a hook by link": "git add data.txt",
    "writing git's a hook by the hooks moved away": "git log --oneline -1 || true",
    "writing git's a hook by the hooks swapped for a link": "git diff",
    "writing git's the settings": "git branch",
    "writing git's the settings by git": "git config --get core.bare",
    "writing git's the settings replaced": "cat $(git rev-parse --git-dir)/config",
    "writing git's the settings unmounted": "git rev-parse --git-dir",
    "writing git's the folder moved away": "git ls-files",
    "writing git's the folder removed": "git hash-object -w data.txt",
    "writing git's the folder swapped for a link": "git -c user.name=a -c user.email=a@b.c commit -qm x --allow-empty",
    "leaving a process behind": "setsid sleep 0.01",
    "leaving a grandchild behind": "( ( sleep 0.01 & wait ) & wait )",
}  # fmt: skip
