"""The repository of a thread is cloned into its folder once; other addresses than those of public hosts are refused."""

import functools
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ml_intern.configs.errors import UsageError
from ml_intern.session.team.repositories import checked_repository, clone_repository


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        """Send a file, or lead elsewhere."""
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", self.path.replace("/moved", "", 1))
            self.end_headers()
        else:
            super().do_GET()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """A host with the repository /project.git."""
    work = tmp_path / "work"
    steps = ("init -q", "config user.email a@b", "config user.name a", "add .", "commit -q -m one")
    work.mkdir()
    (work / "train.py").write_text("print(1)\n")
    for step in steps:
        subprocess.run(["git", *step.split()], cwd=work, check=True)
    bare = tmp_path / "served" / "project.git"
    subprocess.run(["git", "clone", "-q", "--bare", work, bare], check=True)
    subprocess.run(["git", "update-server-info"], cwd=bare, check=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(bare.parent)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "workspaces" / "thread"
    found.mkdir(parents=True)
    return found


async def test_a_repository_is_cloned_once_into_the_folder(host: str, folder: Path) -> None:
    left = folder.with_name("thread.clone")  # by a process that was killed while it cloned
    left.mkdir()
    (left / "half").touch()
    await clone_repository(folder, f"http://{host}/project.git", [host])
    assert sorted(path.name for path in folder.iterdir()) == [".git", "train.py"]
    (folder / "train.py").write_text("print(2)\n")
    await clone_repository(folder, f"http://{host}/project.git", [host])
    assert (folder / "train.py").read_text() == "print(2)\n"
    assert [path.name for path in folder.parent.iterdir()] == ["thread"]


async def test_what_cannot_be_cloned_is_one_line_and_leaves_nothing(host: str, folder: Path) -> None:
    for path in ("none.git", "moved/project.git"):
        with pytest.raises(UsageError, match=r"could not be cloned: fatal: .+") as error:
            await clone_repository(folder, f"http://{host}/{path}", [host])
        assert "\n" not in error.value.message
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["https://127.0.0.1/x.git", "https://169.254.169.254/x", "https://localhost/x"])
async def test_a_private_host_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(UsageError, match="is not public"):
        await clone_repository(folder, name, [])


@pytest.mark.parametrize(
    "text",
    ["/etc", "file:///etc", "ext::sh -c id", "git@github.com:a/b", "ssh://host/x", "--upload-pack=id", "http://a.org/x",
     "https://user:key@github.com/a/b", "https://", "-u https://github.com/a/b"],
)  # fmt: skip
def test_an_address_that_is_not_https_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        checked_repository(text)
