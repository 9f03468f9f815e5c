"""A real Slurm cluster of one node on loopback, with keys, ports and a configuration of its own."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
START_SECONDS = 60.0


def missing_programs() -> list[str]:
    """The programs of Slurm that this machine lacks."""
    return [name for name in PROGRAMS if _program(name) is None]


@contextmanager
def cluster(folder: Path) -> Iterator[Path]:
    """A cluster whose files lie in `folder`; its configuration, for SLURM_CONF. Raises RuntimeError."""
    configuration = _configure(folder)
    host = _host()
    with ExitStack() as stack:
        stack.enter_context(_daemon(folder, _munged(folder)))
        _await((folder / "munge.socket").exists, folder)
        stack.enter_context(_daemon(folder, ["slurmctld", "-D", "-c", "-f", str(configuration)]))
        stack.enter_context(_daemon(folder, ["slurmd", "-D", "-N", host, "-f", str(configuration)]))
        _await(lambda: _states(configuration) == {"idle"}, folder)
        try:
            yield configuration
        finally:
            _run(configuration, "scancel", "--user", _user())


def free_the_node(configuration: Path) -> None:
    """Cancel all jobs, and wait until the node takes the next one: it cleans up after each."""
    _run(configuration, "scancel", "--user", _user())
    _await(lambda: _states(configuration) == {"idle"}, configuration.parent)


def _states(configuration: Path) -> set[str]:
    """The states of the node, one by partition."""
    return set(_run(configuration, "sinfo", "-h", "-o", "%T").split())


def _run(configuration: Path, *command: str) -> str:
    environment = {**os.environ, "SLURM_CONF": str(configuration)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout


def _munged(folder: Path) -> list[str]:
    (folder / "key").write_bytes(os.urandom(1024))
    (folder / "key").chmod(0o400)
    files = {"key-file": "key", "socket": "munge.socket", "pid-file": "munge.pid", "log-file": "munge.log"}
    named = [f"--{option}={folder / name}" for option, name in {**files, "seed-file": "seed"}.items()]
    return ["munged", "--foreground", "--force", *named]


def _configure(folder: Path) -> Path:
    folder.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    lines = {
        "ClusterName": "loopback", "SlurmctldHost": f"{_host()}(127.0.0.1)",
        "SlurmctldPort": _free_port(), "SlurmdPort": _free_port(),
        "SlurmUser": _user(), "SlurmdUser": _user(),
        "AuthType": "auth/munge", "CredType": "cred/munge", "AuthInfo": f"socket={folder}/munge.socket",
        "StateSaveLocation": folder / "state", "SlurmdSpoolDir": folder / "spool",
        "SlurmctldPidFile": folder / "slurmctld.pid", "SlurmdPidFile": folder / "slurmd.pid",
        "ProctrackType": "proctrack/linuxproc", "TaskPlugin": "task/none",
        "JobAcctGatherType": "jobacct_gather/none", "AccountingStorageType": "accounting_storage/none",
        "SelectType": "select/cons_tres", "SelectTypeParameters": "CR_Core", "SchedulerType": "sched/builtin",
        "ReturnToService": 2, "MpiDefault": "none", "SwitchType": "switch/none", "MinJobAge": 2,
    }  # fmt: skip
    node = f"NodeName={_host()} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} State=UNKNOWN"
    nodes = f"Nodes={_host()} MaxTime=INFINITE State=UP"
    partitions = [
        f"PartitionName=debug {nodes} Default=YES OverSubscribe=FORCE:16",
        f"PartitionName=single {nodes} OverSubscribe=EXCLUSIVE",
    ]
    (folder / "slurm.conf").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    with (folder / "slurm.conf").open("a") as file:
        file.write("\n".join([node, *partitions, ""]))
    return folder / "slurm.conf"


@contextmanager
def _daemon(folder: Path, command: Sequence[str]) -> Iterator[None]:
    with (folder / f"{command[0]}.txt").open("wb") as output:
        process = subprocess.Popen(
            [_program(command[0]) or command[0], *command[1:]], stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(holds: Callable[[], bool], folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            texts = [path.read_text(errors="replace")[-500:] for path in sorted(folder.glob("*.txt"))]
            raise RuntimeError("the node is not idle: " + " | ".join(texts))
        time.sleep(0.1)


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"]))


def _host() -> str:
    return socket.gethostname().partition(".")[0]


def _user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def _free_port() -> int:
    with closing(socket.socket()) as channel:
        channel.bind(("127.0.0.1", 0))
        return int(channel.getsockname()[1])
