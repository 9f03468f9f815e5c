import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_intern.sandbox.basic.wrapping import basic_problem
from ml_intern.sandbox.bubblewrap import Kind, Network, sandbox_problem
from ml_intern.sandbox.profile import SandboxRequest, build_profile
from tests.faults.counts import some
from tests.sandbox.escape_cases import CREDENTIAL_FILES, ESCAPES, WEAKER, Escape
from tests.sandbox.escape_twins import TWINS
from tests.sandbox.wrapped_runs import run_wrapped

PROBLEMS = {"bubblewrap": sandbox_problem(), "basic": basic_problem()}
KINDS = [
    pytest.param(kind, marks=pytest.mark.skipif(problem is not None, reason=f"no {kind} sandbox here: {problem}"))
    for kind, problem in PROBLEMS.items()
]
ROOT = Path(__file__).resolve().parents[2]
PYTHON = shutil.which("python3") or "python3"


class World:
    """A home with secrets, a workspace with a repository, and host resources that an escape would reach."""

    def __init__(self, base: Path, stack: contextlib.ExitStack, network: Network, kind: Kind) -> None:
        self.network: Network = network
        self.kind: Kind = kind
        self.canary = f"canary-{uuid.uuid4().hex}"
        self.mark = str(uuid.uuid4().int)[:12]
        self.names = {name: base / name for name in ("home", "ws", "outside", "own")}
        self.base, self.stack = base, stack
        self.tmp, self.shm = Path(f"/tmp/escape-{self.mark}"), Path(f"/dev/shm/escape-{self.mark}")
        self._files()
        self._repository()
        self.port = self._serve(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))[1]
        self.udp = self._serve(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))[1]
        for address in (f"\0abstract{self.mark}", str(base / "ws/inside.sock"), str(base / "outside/s")):
            self._serve(socket.AF_UNIX, socket.SOCK_STREAM, address)
        self._serve(socket.AF_UNIX, socket.SOCK_DGRAM, str(base / "ws/inside.dgram"))
        self.environment = {**os.environ, "HOME": str(base / "home"), "SECRET_TOKEN": self.canary}
        self.victim = self._victim()
        self.shared = self._shared_memory()

    def _files(self) -> None:
        for path in self.names.values():
            path.mkdir()
        for name in CREDENTIAL_FILES:
            file = self.names["home"] / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{self.canary}\n")
        (self.names["home"] / ".gitconfig").write_text(
            f"[user]\n name = A\n email = a@b.c\n password = {self.canary}\n"
        )
        for file in (self.names["outside"] / "file", self.names["own"] / "threads.db", self.tmp, self.shm):
            file.write_text(f"before {self.canary}\n")
        self.stack.callback(self._remove_scratch)

    def _remove_scratch(self) -> None:
        for file in (self.tmp, self.shm, *Path("/tmp").glob(f"[a-z]{self.mark}")):
            file.unlink(missing_ok=True)

    def _repository(self) -> None:
        subprocess.run(["git", "init", "-q", self.names["ws"]], check=True)

    def _serve(self, family: int, kind: int, address: object) -> tuple[str, int]:
        server = self.stack.enter_context(socket.socket(family, kind))
        server.bind(address)  # type: ignore[arg-type]
        if kind == socket.SOCK_STREAM:
            server.listen(8)
        threading.Thread(target=self._answer, args=(server, kind), daemon=True).start()
        return server.getsockname()  # type: ignore[no-any-return]

    def _answer(self, server: socket.socket, kind: int) -> None:
        with contextlib.suppress(OSError):
            while True:
                if kind == socket.SOCK_DGRAM:
                    sender = server.recvfrom(99)[1]
                    if sender:  # the end of a pair has no name
                        server.sendto(self.canary.encode(), sender)
                else:
                    with server.accept()[0] as client:
                        client.sendall(self.canary.encode())

    def _victim(self) -> "subprocess.Popen[bytes]":
        with (self.names["outside"] / "file").open() as file:
            code = "import time; time.sleep(600)"
            command = [PYTHON, "-c", code, f"victim{self.mark}", self.canary]
            quiet = subprocess.DEVNULL
            victim = subprocess.Popen(command, stdin=file, stderr=quiet, cwd=self.base, env=self.environment)
        self.stack.callback(victim.wait)
        self.stack.callback(victim.kill)
        return victim

    def _shared_memory(self) -> int:
        libc = ctypes.CDLL(None)
        key = int(self.mark) % 2_000_000_000 + 1
        segment = libc.shmget(key, 4096, 0o1666)
        libc.shmat.restype = ctypes.c_void_p
        ctypes.memmove(libc.shmat(segment, None, 0), self.canary.encode() + b"\0", len(self.canary) + 1)
        self.stack.callback(libc.shmctl, segment, 0, None)
        return key

    def fill(self, text: str) -> str:
        known = {name: str(path) for name, path in self.names.items()}
        return text.format(
            **known,
            base=self.base,
            canary=self.canary,
            yranac=self.canary[::-1],
            mark=self.mark,
            python=PYTHON,
            pid=self.victim.pid,
            port=self.port,
            udp=self.udp,
            abstract=f"abstract{self.mark}",
            shmkey=self.shared,
            tmp=self.tmp,
            shm=self.shm,
        )

    def run(self, escape: Escape, *, inside: bool, timeout: float = 60) -> str:
        """Return the command's output in the sandbox or, as a control, outside."""
        command = ["bash", "-c", self.fill(escape.command)]
        if not inside:
            done = subprocess.run(
                command,
                cwd=self.names["ws"],
                env=self.environment,
                timeout=timeout,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            return done.stdout.decode(errors="replace")
        own = (str(self.names["own"]),)
        wish = SandboxRequest(str(self.names["ws"]), own_homes=own, network=self.network, kind=self.kind)
        ran = run_wrapped(command, build_profile(wish, self.environment), timeout)
        return ran.out + ran.err

    def state(self, path: str) -> object:
        """Return the content at a path, for comparison."""
        file = Path(self.fill(path))
        return (file.is_symlink(), file.read_bytes() if file.is_file() else file.exists())

    def survivors(self) -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and f".{self.mark}".encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
        return found

    def _end_survivors(self) -> bool:
        """Kill processes that outlive the namespace and return whether there were any."""
        deadline = time.monotonic() + 3
        while (left := self.survivors()) and time.monotonic() < deadline:
            time.sleep(0.05)
        for pid in left:
            os.kill(pid, 9)
        return bool(left)

    def escapes(self, escape: Escape, *, inside: bool) -> bool:
        before = self.state(escape.changed)
        output = self.run(escape, inside=inside)
        if escape.kind == "says":
            return self.canary in output
        if escape.kind == "survives":
            return self._end_survivors()
        return self.state(escape.changed) != before


@pytest.fixture
def make_world() -> Iterator[object]:
    # Outside of /tmp: everything there is hidden anyway.
    cache = ROOT / ".pytest_cache"
    cache.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:

        def make(network: Network = "list", kind: Kind = "bubblewrap") -> World:
            base = cache / f"w{uuid.uuid4().hex[:8]}"
            base.mkdir()
            stack.callback(shutil.rmtree, base, ignore_errors=True)
            return World(base, stack, network, kind)

        yield make


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("escape", some(ESCAPES), ids=lambda escape: escape.name)
def test_escapes_that_work_outside_fail_inside(escape: Escape, kind: Kind, make_world: object) -> None:
    if kind == "basic" and escape.name in WEAKER:
        pytest.skip(f"{escape.name}: the basic sandbox does not promise this")
    if not make_world().escapes(escape, inside=False):  # type: ignore[operator]
        pytest.skip(f"{escape.name}: it does not work outside on this machine either")
    assert not make_world(kind=kind).escapes(escape, inside=True)  # type: ignore[operator]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("escape", some([one for one in ESCAPES if "unix" in one.name]), ids=lambda escape: escape.name)
def test_network_on_exposes_no_unix_socket(escape: Escape, kind: Kind, make_world: object) -> None:
    assert not make_world("on", kind).escapes(escape, inside=True)  # type: ignore[operator]


def test_at_least_sixty_escapes_are_tested() -> None:
    assert len({escape.name for escape in ESCAPES}) == len(ESCAPES) >= 60


def test_every_escape_has_a_twin() -> None:
    assert TWINS.keys() == {escape.name for escape in ESCAPES}


@pytest.mark.parametrize("kind", KINDS)
def test_what_resembles_the_escapes_and_is_ordinary_work_works(kind: Kind, make_world: object) -> None:
    """All twins run in one sandbox, each in a folder of its own."""
    world = make_world(kind=kind)  # type: ignore[operator]
    twins = list(TWINS.items())
    for number, (_, script) in enumerate(twins):
        folder = world.names["ws"] / f"twin{number}"
        folder.mkdir()
        (folder / "data.txt").write_text("fine\n")
        (folder / "twin.sh").write_text(world.fill(script))
    one = 'cd twin$i; timeout 60 bash twin.sh >out 2>&1; echo "$i:$?:$(tail -n1 out | tr -d "\\0")"'
    each = f"for i in $(seq 0 {len(twins) - 1}); do ({one}); done"
    lines = world.run(
        Escape("twins", each.replace("{", "{{").replace("}", "}}")), inside=True, timeout=500
    ).splitlines()
    failed = [f"{twins[int(line.partition(':')[0])][0]}: {line}" for line in lines if ":0:" not in line]
    assert not failed, "\n".join(failed)
    assert len(lines) == len(twins)
