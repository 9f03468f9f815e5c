"""The basic sandbox: what ordinary work needs works, what it promises holds, also for an ordinary user."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from ml_intern.configs.errors import SandboxMissing
from ml_intern.sandbox.basic.landlock import Landlock, landlock
from ml_intern.sandbox.basic.wrapping import basic_problem, wrap_basic
from ml_intern.sandbox.bubblewrap import Network, Profile
from ml_intern.sandbox.profile import SandboxRequest, build_profile
from tests.sandbox.wrapped_runs import Ran, run_wrapped
from tests.users import as_ordinary_user, folder_of_ordinary_user, give_to_ordinary_user, python_of_ordinary_user

pytestmark = pytest.mark.skipif(basic_problem() is not None, reason=f"no basic sandbox here: {basic_problem()}")
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def workspace() -> Iterator[Path]:
    """A folder in a home with a secret, outside /tmp."""
    base = Path(tempfile.mkdtemp(dir=ROOT / ".pytest_cache"))
    for name in ("home/.ssh", "home/ws"):
        (base / name).mkdir(parents=True)
    (base / "home/.ssh/id_rsa").write_text("canary")
    yield base / "home/ws"
    shutil.rmtree(base)


@pytest.fixture(autouse=True)
def cache() -> None:
    (ROOT / ".pytest_cache").mkdir(exist_ok=True)


def profile(workspace: Path, network: Network = "off", variables: Mapping[str, str] | None = None) -> Profile:
    environment = {**os.environ, "HOME": str(workspace.parent), **(variables or {})}
    return build_profile(SandboxRequest(str(workspace), network=network, kind="basic"), environment)


def run(workspace: Path, command: str, network: Network = "off", variables: Mapping[str, str] | None = None) -> Ran:
    return run_wrapped(["bash", "-c", command], profile(workspace, network, variables))


WORK = {
    "a script that writes": 'echo \'open("out", "w").write("1")\' > x.py && python3 x.py && cat out',
    "git": "git init -q . && git add -A && git commit -q --allow-empty -m x && git status --short && git log --oneline",
    "a virtual environment": "python3 -m venv --without-pip v && v/bin/python -c 'print(1)'",
    "moving between folders": "mkdir -p a b && echo 1 > a/f && mv a/f b/g && ln b/g b/h && cat b/h",
    "the home folder": "mkdir ~/x && echo 1 > ~/x/f && cat ~/x/f",
    "temporary files": "f=$(mktemp) && echo 1 > $f && mkdir $TMPDIR/d && mv $f $TMPDIR/d/ && ls $TMPDIR/d",
    "worker processes": (
        'python3 -c \'import multiprocessing as m, os\nwith m.Pool(2) as p: print(p.map(os.path.basename, ["a/b"]))\n'
        "q = m.Manager().Queue(); q.put(1); print(q.get())'"
    ),
    "pipes and job control": "sleep 0.1 & wait; seq 3 | sort -r | head -1; trap 'echo bye' EXIT",
    "the folder under its usual name": "cd ~/ws && pwd -P && ls",
    "truncating an own file": "echo 123 > f && python3 -c 'import os; os.truncate(\"f\", 1)' && cat f",
    "devices": "echo x > /dev/null && head -c 4 /dev/urandom | wc -c && cat /proc/self/comm",
}


@pytest.mark.parametrize("name", WORK)
def test_ordinary_work_is_possible(name: str, workspace: Path) -> None:
    ran = run(workspace, WORK[name])
    assert (ran.code, ran.err, ran.removed) == (0, "", []), ran


def test_the_exit_code_is_the_commands_and_a_signal_counts_from_128(workspace: Path) -> None:
    assert run(workspace, "exit 7").code == 7
    assert run(workspace, "kill -9 $$").code == 137
    assert run_wrapped(["no-such-program"], profile(workspace)).code == 127


def test_nothing_of_the_command_remains(workspace: Path) -> None:
    ran = run(workspace, "env -i setsid sleep 600 >/dev/null 2>&1 & echo $! $TMPDIR")
    pid, folder = ran.out.split()
    assert not Path(f"/proc/{pid}").exists()
    assert not Path(folder).parent.exists()


def test_what_a_killed_command_started_ends_with_it(workspace: Path) -> None:
    command = ["bash", "-c", "env -i setsid sleep 600 & echo $!; wait"]
    with (
        wrap_basic(command, profile(workspace)) as wrapped,
        wrapped.start(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process,
    ):
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
    assert not Path(f"/proc/{pid}").exists()


PARENT = """
import sys
from pathlib import Path
from tests.sandbox.basic.test_basic import profile, wrap_basic
command = ["bash", "-c", "env -i setsid sleep 600 & echo $! $TMPDIR; wait"]
with wrap_basic(command, profile(Path(sys.argv[1]))) as wrapped:
    wrapped.start().wait()
"""


def test_a_command_ends_with_the_ml_intern_that_started_it(workspace: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(workspace)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid, folder = parent.stdout.readline().decode().split()
        parent.kill()
        assert parent.stdout.read() == b""  # the end of the last process that has the pipe open
    for _ in range(500):
        if not Path(folder).parent.exists():
            break
        time.sleep(0.02)
    assert not Path(f"/proc/{pid}").exists()
    assert not Path(folder).parent.exists()


LEAKS = {
    "a private file": "cat ~/.ssh/id_rsa ../.ssh/id_rsa",
    "a private file by a link": "ln -s ../.ssh/id_rsa l; cat l",
    "truncating outside": "python3 -c 'import os; os.truncate(\"../.ssh/id_rsa\", 0)'",
    "emptying outside by opening for reading": (
        "python3 -c 'import os; os.open(\"../.ssh/id_rsa\", os.O_RDONLY | os.O_TRUNC)'"
    ),
    "moving outside": "mv ../.ssh/id_rsa .",
    "moving the folder outside": "mv ../.ssh s; cat s/id_rsa",
    "writing outside": "echo x > ../.ssh/id_rsa",
    "a new file outside": "echo x > ../new",
    "a new mount": "unshare -Urm true && echo canary",
}


@pytest.mark.parametrize("version", range(1, (landlock() or Landlock(0)).version + 1))
@pytest.mark.parametrize("name", LEAKS)
def test_files_outside_are_closed_with_every_version_of_landlock(name: str, version: int, workspace: Path) -> None:
    with (
        wrap_basic(["bash", "-c", LEAKS[name]], profile(workspace), kernel=Landlock(version)) as wrapped,
        wrapped.start(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process,
    ):
        out, _ = process.communicate(timeout=60)
    assert b"canary" not in out
    assert (workspace.parent / ".ssh/id_rsa").read_text() == "canary"
    assert not (workspace.parent / "new").exists()


NETWORK = {
    "UDP": "s = socket.socket(2, 2)",
    "a listening socket": "s = socket.socket(); s.listen()",
    "a raw socket": "s = socket.socket(2, 3, 1)",
    "SCTP": "s = socket.socket(2, 1, 132)",
    "MPTCP": "s = socket.socket(2, 1, 262)",
    "data with the first packet": (
        "s = socket.socket(); s.settimeout(3); s.sendto(b'x', 0x20000000, ('127.0.0.1', {port}))"
    ),
    "another port of this machine": "s = socket.create_connection(('127.0.0.1', {port}), 3)",
    "another port by IPv6": "s = socket.socket(10); s.settimeout(3); s.connect(('::ffff:127.0.0.1', {port}))",
    "a unix socket moved in": (
        "import os; os.rename('s.sock', os.environ['TMPDIR'] + '/s'); s = socket.socket(1); "
        "s.connect(os.environ['TMPDIR'] + '/s')"
    ),
    "a unix socket linked in": (
        "import os; os.link('s.sock', os.environ['TMPDIR'] + '/s'); s = socket.socket(1); "
        "s.connect(os.environ['TMPDIR'] + '/s')"
    ),
}


@pytest.mark.parametrize("network", ["off", "list"])
@pytest.mark.parametrize("name", NETWORK)
def test_no_way_out_but_the_proxy(name: str, network: Network, workspace: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        local.bind(str(workspace / "s.sock"))
        local.listen()
        code = "import socket\n" + NETWORK[name].format(port=server.getsockname()[1]) + "\nprint('reached')"
        ran = run_wrapped(["python3", "-c", code], profile(workspace, network))
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.accept()
    assert "reached" not in ran.out
    assert "Error" in ran.err


def test_own_unix_sockets_work_and_the_proxy_answers(workspace: Path) -> None:
    code = (
        "import os, socket\n"
        "path = os.environ['TMPDIR'] + '/s'\n"
        "a = socket.socket(1); a.bind(path); a.listen()\n"
        "b = socket.socket(1); b.connect(path); print('own')\n"
    )
    assert run_wrapped(["python3", "-c", code], profile(workspace)).out == "own\n"
    ran = run(workspace, "curl -s -o /dev/null -w '%{http_connect}' https://example.org; true", "list")
    assert (ran.out, ran.refused) == ("403", ["example.org:443"])


def test_caches_of_the_user_stay_as_they_are_and_the_commands_own_ones_stay_warm(workspace: Path) -> None:
    cache = workspace.parent / ".cache/uv"
    cache.mkdir(parents=True)
    (cache / "theirs").write_text("before")
    settings: list[dict[str, str]] = [{}, {"UV_CACHE_DIR": str(cache)}, {"XDG_CACHE_HOME": str(cache.parent)}]
    for variables in settings:
        command = "c=${UV_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/uv}; cat $c/mine; echo warm > $c/mine"
        run(workspace, command, variables=variables)
        assert run(workspace, command, variables=variables).out == "warm\n"
    assert [entry.name for entry in cache.iterdir()] == ["theirs"]


def test_data_inside_the_working_folder_cannot_be_hidden_so_it_is_refused(workspace: Path) -> None:
    own = workspace / "own"
    own.mkdir()
    request = SandboxRequest(str(workspace), own_homes=(str(own),), kind="basic")
    with pytest.raises(SandboxMissing, match="cannot hide"):
        run_wrapped(["true"], build_profile(request, {**os.environ, "HOME": str(workspace.parent)}))


def test_gits_control_files_are_restored_with_a_line(workspace: Path) -> None:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=workspace, capture_output=True, text=True, check=True).stdout

    git("init", "-q", ".")
    hook = workspace / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o755)
    config = (workspace / ".git/config").read_bytes()
    for change in (
        "echo '[core] fsmonitor = touch ran' >> .git/config; echo 'touch ran' >> .git/hooks/pre-commit",
        "rm .git/config .git/hooks/pre-commit",
        "rm -r .git/hooks; mkdir .git/config.d; mv .git/config.d .git/config; mkdir e; ln -s ../e .git/hooks",
        "ln -sf /bin/sh .git/hooks/pre-commit; chmod 777 .git/hooks",
    ):
        ran = run(workspace, change)
        assert any(line.startswith("changes to ") for line in ran.removed), ran
        assert (workspace / ".git/config").read_bytes() == config
        assert hook.read_text() == "#!/bin/sh\n"
        assert not hook.is_symlink()
        assert os.access(hook, os.X_OK)
    ran = run(
        workspace,
        "mkdir e2 && cp -r .git/* e2; mv .git g; echo '[core] fsmonitor = touch ran' >> e2/config; ln -s e2 .git",
    )
    assert any("fsmonitor" in line or "config" in line for line in ran.removed), ran
    git("status")
    assert not (workspace / "ran").exists()


USER = """
import os, subprocess, sys
from tests.sandbox.basic.test_basic import run
from pathlib import Path
workspace = Path(sys.argv[1])
key = os.environ["A_KEY"]
from ml_intern.sandbox.own_process import hide_own_process
hide_own_process()
me = f"/proc/{os.getpid()}"
ran = run(workspace, f"id -u; echo 1 > f; cat f {me}/environ {me}/mem ../.ssh/id_rsa; kill -0 {os.getpid()}", "list")
print(ran.out, ran.err)
"""


def test_an_ordinary_user_has_the_same_sandbox_under_a_program_that_hides_itself() -> None:
    prefix, python = as_ordinary_user(), python_of_ordinary_user()
    if prefix is None or python is None:
        pytest.skip("an ordinary user cannot run this here")
    with folder_of_ordinary_user() as base:
        for name in ("home/.ssh", "home/ws", "data"):
            (base / name).mkdir(parents=True)
        (base / "home/.ssh/id_rsa").write_text("canary")
        give_to_ordinary_user(base)
        own = {
            "HOME": str(base / "home"),
            "XDG_DATA_HOME": str(base / "data"),
            "A_KEY": "canary-key",
            "HF_HOME": str(base / "hf"),
        }
        environment = {**os.environ, **own, **python[1], "PYTHONDONTWRITEBYTECODE": "1"}
        command = [*prefix, python[0], "-c", USER, str(base / "home/ws")]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split()[1:2] == ["1"], done
    assert "canary" not in done.stdout
    assert done.stdout.count("Permission denied") >= 2
    assert "Operation not permitted" in done.stdout  # the signal


def test_a_locked_file_is_restored(workspace: Path) -> None:
    locked, gone = workspace / "eval.py", workspace / "data" / "test.csv"
    gone.parent.mkdir()
    locked.write_text("print(1)\n")
    gone.write_text("a\n")
    names = tuple(map(str, (locked, gone)))
    script = "cat eval.py; echo 2 > eval.py; rm -r data; ln -s /etc/passwd data"
    with wrap_basic(["bash", "-c", script], replace(profile(workspace), locked=names)) as wrapped:
        process = wrapped.start(stdout=subprocess.PIPE)
        assert process.communicate()[0] == b"print(1)\n"
        wrapped.close()
    assert locked.read_text() == "print(1)\n"
    assert wrapped.restored[0] == str(locked)
