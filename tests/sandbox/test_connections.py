"""Unix sockets inside the sandbox: its processes can communicate, as multiprocessing does."""

import os
import subprocess
from pathlib import Path

import pytest

from ml_intern.sandbox.bubblewrap import Network, sandbox_command, sandbox_problem
from ml_intern.sandbox.command import WrappedCommand
from ml_intern.sandbox.profile import SandboxRequest, build_profile
from ml_intern.sandbox.seccomp import seccomp_filter
from tests.sandbox.wrapped_runs import run_wrapped

pytestmark = pytest.mark.skipif(sandbox_problem() is not None, reason=f"no sandbox here: {sandbox_problem()}")

# DupFd is how tensors come back from the workers of a data loader.
WORKERS = """
import multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import reduction, shared_memory

class Tensor:
    def __init__(self, descriptor):
        self.descriptor = descriptor

def rebuilt(handle):
    return Tensor(handle.detach())

reduction.ForkingPickler.register(Tensor, lambda tensor: (rebuilt, (reduction.DupFd(tensor.descriptor),)))

def load(queue, done):
    descriptor = os.memfd_create("batch")
    os.write(descriptor, b"batch")
    queue.put(Tensor(descriptor))
    done.wait(20)

def fill(name):
    memory = shared_memory.SharedMemory(name=name)
    memory.buf[0] = 7
    memory.close()

if __name__ == "__main__":
    for method in ("fork", "spawn", "forkserver"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            print(method, sum(pool.map(abs, [-1, -2])))
    queue, done = multiprocessing.Queue(), multiprocessing.Event()
    worker = multiprocessing.Process(target=load, args=(queue, done))
    worker.start()
    print("loader", os.pread(queue.get(timeout=20).descriptor, 5, 0).decode())
    done.set()
    worker.join()
    with multiprocessing.Manager() as manager:
        print("manager", manager.list([1, 2])[1])
    memory = shared_memory.SharedMemory(create=True, size=8)
    worker = multiprocessing.Process(target=fill, args=(memory.name,))
    worker.start()
    worker.join()
    print("shared memory", memory.buf[0])
    memory.close()
    memory.unlink()
    with ProcessPoolExecutor(2) as executor:
        print("executor", sum(executor.map(abs, [-1, -2])))
"""
SAID = ["fork 3", "spawn 3", "forkserver 3", "loader batch", "manager 2", "shared memory 7", "executor 3"]
TALK = """
import socket, threading
for family, address in ((socket.AF_UNIX, "/tmp/s"), (socket.AF_UNIX, "\\0name"), (socket.AF_INET, ("127.0.0.1", 0))):
    with socket.socket(family) as server:
        server.bind(address)
        server.listen()
        for timeout in (None, 5):
            client = socket.socket(family)
            client.settimeout(timeout)
            try:
                client.connect(server.getsockname())
                server.accept()[0].sendall(b"hello")
                print(client.recv(9).decode())
            except OSError as error:
                print(error.strerror)
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws/workers.py").write_text(WORKERS)
    (tmp_path / "ws/talk.py").write_text(TALK)
    return tmp_path / "ws"


def output_lines(workspace: Path, program: str, network: Network) -> list[str]:
    environment = {**os.environ, "HOME": str(workspace.parent / "home")}
    ran = run_wrapped(["python3", program], build_profile(SandboxRequest(str(workspace), network=network), environment))
    assert ran.code == 0, ran.err
    return ran.out.splitlines()


@pytest.mark.parametrize("network", ["list", "on"])
def test_multiprocessing_and_data_loader_workers_work(workspace: Path, network: Network) -> None:
    assert output_lines(workspace, "workers.py", network) == SAID


def test_sandboxed_processes_connect_to_each_other_but_not_to_abstract_sockets_with_network_on(workspace: Path) -> None:
    assert output_lines(workspace, "talk.py", "off") == ["hello"] * 6
    assert output_lines(workspace, "talk.py", "on") == ["hello"] * 2 + ["Permission denied"] * 2 + ["hello"] * 2


def test_without_the_broker_there_are_no_unix_sockets(workspace: Path) -> None:
    profile = build_profile(SandboxRequest(str(workspace)), {**os.environ, "HOME": str(workspace.parent / "home")})
    descriptor = os.memfd_create("seccomp", 0)
    os.write(descriptor, seccomp_filter())
    os.lseek(descriptor, 0, os.SEEK_SET)
    command = sandbox_command(profile, ["python3", "talk.py"], ["--seccomp", str(descriptor)])
    wrapped = WrappedCommand(command, dict(profile.environment), (descriptor,))
    with wrapped, wrapped.start(stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert b"PermissionError: [Errno 1]" in process.communicate(timeout=60)[1]
