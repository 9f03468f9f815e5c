"""Machines over ssh that are set up badly: a run starts, or one line says what to do."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.runs.remote.conftest import RemoteBench
from tests.runs.remote.sshd import Sshd

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


async def test_a_file_that_does_not_fit_there_is_one_line(box: RemoteBench, login: Login) -> None:
    box.file("large.bin", "x" * 400_000)
    login("ulimit -f 200; trap '' XFSZ")
    assert "File too large" in await refused(box)
