"""What commands write to a cache stays inside, per workspace, and takes a limited amount of space."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pytest

from ml_intern.sandbox.bubblewrap import Profile, sandbox_problem
from ml_intern.sandbox.caches import overlay
from ml_intern.sandbox.caches.store import cache_folder, prune_caches
from ml_intern.sandbox.profile import SandboxRequest, build_profile
from tests.sandbox.wrapped_runs import run_wrapped

pytestmark = pytest.mark.skipif(sandbox_problem() is not None, reason=f"no sandbox here: {sandbox_problem()}")
ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Machine:
    """A home with a uv cache, and a folder for what commands write to caches."""

    base: Path

    @property
    def cache(self) -> Path:
        return self.base / "home/.cache/uv"

    @property
    def store(self) -> Path:
        return self.base / "store"

    def profile(self, workspace: str = "ws") -> Profile:
        (self.base / workspace).mkdir(exist_ok=True)
        environment = {"HOME": str(self.base / "home"), "PATH": os.environ["PATH"]}
        return build_profile(SandboxRequest(str(self.base / workspace), cache_store=str(self.store)), environment)

    def run(self, command: str, workspace: str = "ws") -> str:
        ran = run_wrapped(["bash", "-c", f"cd ~/.cache/uv; {command}"], self.profile(workspace))
        assert ran.code == 0, ran.err
        return ran.out

    def content(self) -> dict[str, str]:
        return {str(path.relative_to(self.cache)): path.read_text() for path in self.cache.rglob("*") if path.is_file()}


@pytest.fixture(params=["overlay", "private folder"])
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Machine:
    if request.param == "private folder":  # without nsenter there are no overlays
        (tmp_path / "bin").mkdir()
        for name in ("bash", "bwrap", "cat", "git", "rm", "mv", "ls", "mkdir", "sleep", "true"):
            (tmp_path / "bin" / name).symlink_to(shutil.which(name) or name)
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    machine = Machine(tmp_path)
    (machine.cache / "old").mkdir(parents=True)
    (machine.cache / "old/wheel").write_text("good")
    return machine


def test_changes_stay_inside_and_in_their_workspace(machine: Machine) -> None:
    before = machine.content()
    machine.run("mkdir -p old; echo evil > old/wheel; echo evil > new; rm -rf gone; mkdir dir; mv new dir/")
    assert machine.content() == before
    assert machine.run("cat old/wheel dir/new") == "evil\nevil\n"
    assert "evil" not in machine.run("cat old/wheel dir/new || true", workspace="other")
    machine.run("rm -rf old; ls")
    assert machine.content() == before


def test_an_overlay_shows_what_the_user_has_cached(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.cache.mkdir(parents=True)
    (machine.cache / "wheel").write_text("good")
    assert machine.run("cat wheel") == "good"
    (machine.cache / "later").write_text("also")
    assert machine.run("cat later") == "also"


@pytest.fixture
def overlaid_store(tmp_path: Path) -> Iterator[Path]:
    """A store on an overlay, as in a container, where the kernel refuses the caches' own overlay."""
    if os.getuid():
        pytest.skip("needs root, to mount an overlay")
    layers = {name: tmp_path / f"layers-{name}" for name in ("lowerdir", "upperdir", "workdir")}
    for folder in (*layers.values(), tmp_path / "store"):
        folder.mkdir()
    options = ",".join(f"{name}={folder}" for name, folder in layers.items())
    mount = ["mount", "-t", "overlay", "overlay", "-o", options, str(tmp_path / "store")]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs to mount an overlay, which is not allowed here")
    yield tmp_path / "store"
    subprocess.run(["umount", "--lazy", tmp_path / "store"], check=True)


def test_where_the_kernel_refuses_an_overlay_the_caches_are_private(overlaid_store: Path) -> None:
    machine = Machine(overlaid_store.parent)
    machine.cache.mkdir(parents=True)
    (machine.cache / "wheel").write_text("good")
    assert machine.run("ls; echo new > wheel") == ""
    assert machine.run("cat wheel; ls") == "new\nwheel\n"
    assert machine.content() == {"wheel": "good"}


def test_commands_at_the_same_time_share_the_cache(machine: Machine) -> None:
    command = "cd ~/.cache/uv; echo x > {0}; until [ -e {1} ]; do sleep 0.01; done"
    code = (
        "import sys, pathlib; from tests.sandbox.caches.test_caches import Machine\n"
        "machine = Machine(pathlib.Path(sys.argv[1])); print(machine.run(sys.argv[2]))"
    )
    argv = [sys.executable, "-c", code, str(machine.base), command.format("a", "b")]
    with subprocess.Popen(argv, cwd=ROOT) as other:  # another ml-intern in the same folder
        machine.run(command.format("b", "a"))
    assert other.returncode == 0


def test_a_cache_that_the_user_deletes_and_makes_anew_is_not_reached(machine: Machine) -> None:
    machine.run("echo x > before")
    shutil.rmtree(machine.cache)
    machine.cache.mkdir()
    machine.run("echo evil > wheel")
    assert machine.content() == {}


def test_the_store_is_not_visible_inside(machine: Machine) -> None:
    assert machine.run(f"ls -A {machine.store} || true") == ""


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_no_holder_survives_a_killed_process(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from tests.sandbox.caches.test_caches import Machine\n"
        "Machine(pathlib.Path(sys.argv[1])).run('echo x > ~/.cache/uv/started; sleep 1000')"
    )
    Machine(tmp_path).cache.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT) as process:
        until(lambda: any(tmp_path.glob("store/*/*/upper/started")))
        holder = int(next(tmp_path.glob("store/*/pid")).read_text())
        os.kill(process.pid, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{holder}").exists())
    assert Machine(tmp_path).run("cat started") == "x\n"


def test_a_holder_ends_if_the_process_that_started_it_was_killed_before_it_used_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "users")
    (tmp_path / "lock").touch()
    order = json.dumps({"folder": str(tmp_path), "caches": [], "sweep_s": 0.1})
    with subprocess.Popen([sys.executable, "-c", overlay._PROGRAM, order], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"\n"
        assert holder.wait(timeout=120) == 0


def test_the_mounts_of_folders_that_were_not_used_lately_end_and_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlay, "_holder", lru_cache(maxsize=1)(overlay._holder.__wrapped__))
    machine = Machine(tmp_path)
    machine.cache.mkdir(parents=True)
    machine.run("echo x > made")
    first = int(next(machine.store.glob("*/pid")).read_text())
    machine.run("true", workspace="other")
    until(lambda: not Path(f"/proc/{first}").exists())
    assert machine.run("cat made") == "x\n"


def test_a_sandbox_whose_start_was_cut_off_does_not_keep_the_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlay, "_SWEEP_SECONDS", 0.1)
    machine = Machine(tmp_path)
    mounts = overlay.open_caches(str(machine.store), str(tmp_path), machine.profile().caches)
    (users,) = mounts.descriptors
    block, _ = os.pipe()  # bubblewrap waits for it before it lets its second process run
    info_reader, info = os.pipe()
    argv = [*mounts.prefix, "bwrap", "--unshare-user", "--unshare-pid", "--die-with-parent", *mounts.keep]
    argv += ["--userns-block-fd", str(block), "--info-fd", str(info), "--ro-bind", "/", "/", "true"]
    with subprocess.Popen(argv, pass_fds=(users, block, info)) as process:
        os.close(info)
        with os.fdopen(info_reader) as file:
            inner = json.load(file)["child-pid"]
            process.kill()
    until(lambda: not Path(f"/proc/{inner}/exe").exists())
    os.close(users)
    os.kill(int(next(machine.store.glob("*/pid")).read_text()), signal.SIGKILL)  # this process still uses it


def test_pruning_removes_what_was_used_longest_ago_and_what_no_workspace_needs(machine: Machine) -> None:
    machine.run("echo x > used")
    for name in ("one", "two", "three"):
        (machine.base / name).mkdir()
        folder = machine.store / name
        (folder / "cache/upper/sub").mkdir(parents=True)
        (folder / "cache/upper/sub/model").write_bytes(b"x" * 40_000)
        (folder / "cache/upper/sub").chmod(0o500)
        (folder / "workspace").write_text(str(machine.base / name))
    for age, name in enumerate(("three", "one", "two")):
        os.utime(machine.store / name, (1e9 - age, 1e9 - age))
    (machine.base / "three").rmdir()
    removed = prune_caches(str(machine.store), max_bytes=90_000)
    assert removed == [str(machine.store / "three"), str(machine.store / "two")]
    assert [path.parent.parent.parent.parent.name for path in machine.store.rglob("model")] == ["one"]
    assert machine.run("cat used") == "x\n"


def test_pruning_leaves_a_folder_that_is_being_made(tmp_path: Path) -> None:
    workspaces = [tmp_path / f"ws{number}" for number in range(300)]
    for each in workspaces:
        each.mkdir()
    ended = threading.Event()

    def prune() -> list[str]:
        removed = []
        while not ended.is_set():
            removed += prune_caches(str(tmp_path / "store"))
        return removed

    with ThreadPoolExecutor() as pool:
        pruning = pool.submit(prune)
        for each in workspaces:
            private = cache_folder(str(tmp_path / "store"), str(each), ["/cache"]).caches[0].private
            assert Path(private).is_dir()
        ended.set()
        assert pruning.result() == []
