"""Machines over ssh that are set up badly: a run starts, or one line says what to do."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.execution.conftest import until
from tests.runs.remote.conftest import RemoteBench
from tests.runs.remote.sshd import Sshd, end_connections

Login = Callable[[str], None]


@pytest.fixture
def login(sshd: Sshd) -> Iterator[Login]:
    """Write shell commands that every login runs."""
    file = sshd.folder / "home" / ".bashrc"

    def write(text: str) -> None:
        file.write_text(text)

    yield write
    file.unlink(missing_ok=True)


async def refused(box: RemoteBench) -> str:
    result = await box.jobs(operation="run", target="box", command="true")
    assert not result.ok
    assert len(result.text.splitlines()) == 1
    return result.text


async def test_a_login_that_prints_does_not_disturb_a_run(box: RemoteBench, login: Login) -> None:
    login('echo "Welcome to box"; echo "{\\"error\\": \\"no\\"}"; echo "quota: 90 %" >&2')
    row = await box.ended(await box.started(command="echo loss=0.5"))
    assert (row.state, row.tail) == ("succeeded", "loss=0.5\n")


async def test_a_machine_without_python_is_named(box: RemoteBench, login: Login) -> None:
    login("PATH=/nowhere")
    assert "box has no python3; install Python 3.8 or later there" in await refused(box)


async def test_a_changed_host_key_is_not_accepted(box: RemoteBench, sshd: Sshd, tmp_path: Path) -> None:
    other = (sshd.folder / "user_key.pub").read_text()
    (tmp_path / "known").write_text(f"[127.0.0.1]:{sshd.port} {other}")
    config = sshd.config.read_text().replace(str(sshd.folder / "known_hosts"), str(tmp_path / "known"))
    (tmp_path / "config").write_text(config)
    box.target["ssh_config"] = str(tmp_path / "config")
    said = await refused(box)
    assert "its host key has changed" in said
    assert "ssh-keygen -R box" in said


async def test_a_folder_with_spaces_and_quotes_there_and_here(box: RemoteBench) -> None:
    box.target["workdir"] = f"{box.target['workdir']}/my runs, d'accord"
    box.file("my work/train it.py", "import os; print(os.path.basename(os.getcwd()))")
    row = await box.ended(await box.started(script="my work/train it.py", workdir="my work"))
    assert (row.state, row.tail) == ("succeeded", "my work\n")


async def test_a_folder_that_cannot_be_written_is_one_line(box: RemoteBench) -> None:
    box.target["workdir"] = "/proc/ml-intern-runs"
    assert "/proc/ml-intern-runs" in await refused(box)


@pytest.mark.parametrize("shell", ["fish", "tcsh"])
async def test_the_login_shell_may_be_another_one(box: RemoteBench, login: Login, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    login(f'exec {shell} -c "$BASH_EXECUTION_STRING"')
    box.file("it's $1.txt", "7\n")
    row = await box.ended(await box.started(command="cat *.txt; echo $((40 + 2))", env={"A": "$HOME `x`!"}))
    assert (row.state, row.tail) == ("succeeded", "7\n42\n")


def _can_mount(command: str) -> bool:
    tried = subprocess.run(["unshare", "-rm", "sh", "-c", command], check=False, capture_output=True)
    return tried.returncode == 0


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("size=16k", "box: its disk is full; free space in {0}, or name another folder by workdir"),
        ("ro", "box: {0} cannot be used (Read-only file system); name another folder by workdir"),
    ],
)
async def test_a_disk_that_is_full_or_read_only_is_one_line_with_the_remedy(
    box: RemoteBench, login: Login, options: str, problem: str
) -> None:
    folder = Path(box.target["workdir"])
    folder.mkdir()
    mount = f'mount -t tmpfs -o {options} none "{folder}"'
    if not _can_mount(mount):
        pytest.skip("needs a mount namespace")
    login(f'exec unshare -rm bash --norc -c \'{mount}; eval "$0"\' "$BASH_EXECUTION_STRING"')
    assert problem.format(folder) in await refused(box)


async def test_a_clock_that_is_an_hour_off_changes_nothing(box: RemoteBench, login: Login) -> None:
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        pytest.skip("needs faketime")
    login(f"export LD_PRELOAD={library} FAKETIME=-1h")
    began = time.time()
    row = await box.ended(await box.started(command="date +%s; echo 7 > out.txt", timeout="1m"))
    assert row.state == "succeeded"
    assert abs(began - 3600 - int(row.tail)) < 600
    assert began <= (row.started or 0) <= (row.finished or 0) <= time.time()


async def test_a_file_that_does_not_fit_there_is_one_line(box: RemoteBench, login: Login) -> None:
    box.file("large.bin", "x" * 400_000)
    login("ulimit -f 200; trap '' XFSZ")
    assert "File too large" in await refused(box)


async def test_a_machine_that_restarts_ends_its_runs_and_those_that_waited_and_takes_new_ones(box: RemoteBench) -> None:
    box.target["max_runs"] = 1
    rows = [await box.started(command="sleep 600") for _ in range(2)]
    files = [Path(box.target["workdir"]) / "runs" / row.id / "status.json" for row in rows]
    await until(lambda: [json.loads(file.read_text())["state"] for file in files] == ["running", "queued"])
    for file in files:
        status = json.loads(file.read_text())
        end_tree(status["pid"])
        file.write_text(json.dumps({**status, "boot": "of an earlier start"}))
    end_connections(box.connections)
    ended = [await box.ended(row) for row in rows]
    assert [(row.state, row.reason) for row in ended] == [("lost", "the machine restarted")] * 2
    assert (await box.ended(await box.started(command="true"))).state == "succeeded"


def end_tree(pid: int) -> None:
    """Kill a process and all below it, as a restart does."""
    os.kill(pid, signal.SIGSTOP)
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        end_tree(int(child))
    os.kill(pid, signal.SIGKILL)
