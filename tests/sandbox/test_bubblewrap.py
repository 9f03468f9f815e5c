import os
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

from ml_intern.configs.errors import ConfigurationError
from ml_intern.sandbox.bubblewrap import Profile, sandbox_command, sandbox_problem
from ml_intern.sandbox.git.tree import GitFolder
from ml_intern.sandbox.profile import SandboxRequest, build_profile, check_folder, sandbox_environment
from ml_intern.sandbox.wrap import wrap
from tests.sandbox.wrapped_runs import run_wrapped

needs_sandbox = pytest.mark.skipif(sandbox_problem() is not None, reason=f"no sandbox here: {sandbox_problem()}")


def position(command: list[str], *words: str) -> int:
    return next(at for at in range(len(command)) if tuple(command[at : at + len(words)]) == words)


def test_the_command_line_depends_only_on_the_profile() -> None:
    git = GitFolder("/ws/.git", ("hooks", "config"))
    profile = Profile(
        "/ws", "/home/u", writable=("/cache",), readable=("/home/u/bin",), hidden=("/tmp", "/home/u"), git=(git,)
    )
    command = sandbox_command(profile, ["bash", "-c", "ls"], ["--seccomp", "7"], folder="/ws/sub")
    assert command[0] == "bwrap"
    assert command[-6:] == ["--chdir", "/ws/sub", "--", "bash", "-c", "ls"]
    assert {
        "--unshare-user",
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-net",
        "--new-session",
        "--die-with-parent",
    } <= set(command)
    assert position(command, "--cap-drop", "ALL") > 0
    assert position(command, "--seccomp", "7") > 0


def test_folders_are_hidden_before_binds_and_git_is_protected_last() -> None:
    git = GitFolder("/ws/.git", ("hooks",))
    command = sandbox_command(
        Profile("/ws", "/home/u", readable=("/home/u/bin",), hidden=("/home/u",), git=(git,)), ["true"]
    )
    order = [
        position(command, "--ro-bind", "/", "/"),
        position(command, "--tmpfs", "/home/u"),
        position(command, "--ro-bind-try", "/home/u/bin"),
        position(command, "--bind", "/ws"),
        position(command, "--bind", "/ws/.git"),
        position(command, "--ro-bind", "/ws/.git/hooks"),
    ]
    assert order == sorted(order)


def test_the_network_is_shared_only_when_it_is_on() -> None:
    assert "--unshare-net" in sandbox_command(Profile("/ws", "/h"), ["true"])
    assert "--unshare-net" not in sandbox_command(Profile("/ws", "/h", network="on"), ["true"])


@pytest.mark.parametrize("folder", ["/", "/tmp", "/etc", "/usr", "/home", "/etc/ssl", "/proc", "/home/u", "/home/u/.."])
def test_system_and_home_folders_are_rejected_as_workspace(folder: str) -> None:
    with pytest.raises(ConfigurationError, match="-C DIR"):
        check_folder(folder, "/home/u")


def test_a_link_to_a_system_folder_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(ConfigurationError, match="/etc cannot be"):
        check_folder(str(tmp_path / "link"), "/home/u")


def test_secrets_are_hidden_unless_named() -> None:
    given = {
        "PATH": "/bin", "HF_TOKEN": "hf_x", "OPENAI_API_KEY": "sk", "AWS_SECRET_ACCESS_KEY": "x", "SSH_AUTH_SOCK": "/s",
        "CUDA_VISIBLE_DEVICES": "0", "HF_HOME": "/hf", "PIP_INDEX_URL": "https://u:p@host/simple", "UV_INDEX": "https://host",
        "LD_PRELOAD": "x.so", "BASH_ENV": "x", "UV_PUBLISH_TOKEN": "x",
    }  # fmt: skip
    assert set(sandbox_environment(given)) == {"PATH", "CUDA_VISIBLE_DEVICES", "HF_HOME", "UV_INDEX", "TMPDIR"}
    assert sandbox_environment(given, ["HF_TOKEN"])["HF_TOKEN"] == "hf_x"


def inside(workspace: Path, command: str, home: Path, **wish: object) -> tuple[int, str]:
    environment = {name: value for name, value in os.environ.items() if name != "HF_HOME"} | {"HOME": str(home)}
    profile = build_profile(SandboxRequest(str(workspace), **wish), environment)  # type: ignore[arg-type]
    ran = run_wrapped(["bash", "-c", command], profile)
    return ran.code, ran.out + ran.err


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "ws").mkdir()
    return tmp_path / "ws"


@needs_sandbox
def test_the_exit_code_and_both_streams_are_returned(workspace: Path) -> None:
    assert inside(workspace, "echo out; echo err >&2; exit 7", workspace.parent / "home") == (7, "out\nerr\n")


@needs_sandbox
def test_no_variable_value_appears_on_the_command_line(workspace: Path) -> None:
    profile = build_profile(
        SandboxRequest(str(workspace), secrets=("HF_TOKEN",)), {**os.environ, "HF_TOKEN": "hf_named"}
    )
    with wrap(["true"], profile) as wrapped:
        assert not any("hf_named" in word for word in wrapped.argv)
        assert wrapped.environment["HF_TOKEN"] == "hf_named"


@needs_sandbox
def test_a_named_secret_reaches_the_command(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_named")
    home = workspace.parent / "home"
    assert inside(workspace, "echo [$HF_TOKEN]", home)[1] == "[]\n"
    assert inside(workspace, "echo [$HF_TOKEN]", home, secrets=("HF_TOKEN",))[1] == "[hf_named]\n"


@needs_sandbox
def test_ordinary_development_works_inside(workspace: Path) -> None:
    script = """
    python3 -c 'import json, multiprocessing, sqlite3; print("python works")'
    python3 -c 'from multiprocessing import Pool; print(sum(Pool(2).map(abs, [-1, -2])))'
    echo x > file && mkdir -p a/b && mv file a/b && cat a/b/file && rm -r a
    git init -q . && git -c user.name=a -c user.email=b commit -q --allow-empty -m first && git log --oneline | wc -l
    echo tmp > /tmp/x && cat /tmp/x && echo shm > /dev/shm/x && cat /dev/shm/x
    cat <(echo substitution) && seq 3 | tail -1
    """
    code, output = inside(workspace, script, workspace.parent / "home")
    assert (code, output) == (0, "python works\n3\nx\n1\ntmp\nshm\nsubstitution\n3\n")


@needs_sandbox
def test_commits_work_in_a_repository_with_protected_hooks(workspace: Path) -> None:
    subprocess.run(["git", "init", "-q", workspace], check=True)
    commit = "git -c user.name=a -c user.email=b commit -q --allow-empty -m x"
    script = f"{commit} && git checkout -q -b y && git branch --show-current"
    assert inside(workspace, script, workspace.parent / "home") == (0, "y\n")


@needs_sandbox
@pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not installed")
def test_uv_creates_an_environment_and_runs_a_script_inside(workspace: Path) -> None:
    (workspace / "script.py").write_text("# /// script\n# dependencies = []\n# ///\nprint('uv works')\n")
    code, output = inside(workspace, "uv run --offline --no-project script.py", workspace.parent / "home")
    assert code == 0, output
    assert "uv works" in output


@needs_sandbox
def test_caches_persist_inside_and_the_token_next_to_them_is_hidden(workspace: Path) -> None:
    home = workspace.parent / "home"
    hub = home / ".cache/huggingface"
    hub.mkdir(parents=True)
    (hub / "token").write_text("hf_secret")
    code, output = inside(workspace, "echo data > ~/.cache/huggingface/hub/x; ls ~/.cache/huggingface", home)
    assert code == 0, output
    assert "token" not in output.split()
    assert inside(workspace, "cat ~/.cache/huggingface/hub/x", home) == (0, "data\n")
    assert not (hub / "hub/x").exists()


@needs_sandbox
def test_only_added_folders_are_writable(workspace: Path) -> None:
    added, home = workspace.parent / "added", workspace.parent / "home"
    added.mkdir()
    assert inside(workspace, f"echo x > {added}/f && cat {added}/f", home, add_dirs=(str(added),)) == (0, "x\n")
    assert inside(workspace, f"echo x > {added}/g", home)[0] != 0


@needs_sandbox
def test_ml_interns_data_folder_inside_the_workspace_is_hidden(workspace: Path) -> None:
    own = workspace / ".ml"
    own.mkdir()
    (own / "threads.db").write_text("x")
    assert inside(workspace, "ls -A .ml", workspace.parent / "home", own_homes=(str(own),)) == (0, "")


@needs_sandbox
def test_an_environment_that_only_the_path_names_is_whole(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = workspace.parent / "home"
    environment = home / "envs" / "work"
    venv.create(environment, symlinks=True)
    monkeypatch.setenv("PATH", f"{environment}/bin:{os.environ['PATH']}")
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    assert inside(workspace, "python3 -c 'import sys; print(sys.prefix)'", home) == (0, f"{environment}\n")


@needs_sandbox
def test_a_command_cannot_expose_more_of_the_home_to_the_next_one(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, programs = workspace.parent / "home", workspace / ".venv/bin"
    for name in (".ssh/id_rsa", "private/tool/run", ".aws/bin/python3"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("the secret")
        (home / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("VIRTUAL_ENV", str(workspace / ".venv"))
    code, output = inside(
        workspace,
        f"""
        mkdir -p .venv/bin
        echo 'home = {home}/.aws/bin' > .venv/pyvenv.cfg
        ln -s {home}/.ssh/id_rsa .venv/bin/key
        ln -s {home}/private/tool/run .venv/bin/node
        ln -s {home}/.ssh/id_rsa .env
        ln -s {home}/.ssh conf
        """,
        home,
    )
    assert (code, output) == (0, "")
    _, output = inside(
        workspace, "cat ~/.ssh/id_rsa ~/private/tool/run ~/.aws/bin/python3 .env conf/* .venv/bin/*", home
    )
    assert "the secret" not in output
    assert output.count("No such file or directory") >= 5


@needs_sandbox
def test_the_projects_base_python_works(workspace: Path) -> None:
    python = workspace.parent / "home/own"
    (python / "bin").mkdir(parents=True)
    (python / "lib/python3.11").mkdir(parents=True)
    (python / "lib/python3.11/os.py").touch()
    (python / "bin/python3").write_text("#!/bin/sh\necho own python\n")
    (python / "bin/python3").chmod(0o755)
    (workspace / ".venv/bin").mkdir(parents=True)
    (workspace / ".venv/pyvenv.cfg").write_text(f"home = {python}/bin\n")
    (workspace / ".venv/bin/python3").symlink_to(python / "bin/python3")
    assert inside(workspace, ".venv/bin/python3", workspace.parent / "home") == (0, "own python\n")


SETUID = """
import os
def attempt(action):
    try:
        action()
    except OSError:
        return
    print("done")
open("f", "w").close()
attempt(lambda: os.chmod("f", 0o4755))
attempt(lambda: os.fchmod(os.open("f", os.O_RDWR), 0o4755))
attempt(lambda: os.open("created", os.O_CREAT | os.O_WRONLY, 0o4755))
attempt(lambda: os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o4755))
attempt(lambda: os.mknod("node", 0o104755))
os.chmod("f", 0o755)
os.mkdir("shared")
os.chmod("shared", 0o1777)
"""


@needs_sandbox
def test_no_command_leaves_a_setuid_file(workspace: Path) -> None:
    ran = run_wrapped(["python3", "-c", SETUID], build_profile(SandboxRequest(str(workspace)), os.environ))
    assert (ran.code, ran.out) == (0, ""), ran.err
    assert not [path for path in workspace.rglob("*") if path.stat().st_mode & 0o4000]
    assert (workspace / "shared").stat().st_mode & 0o7777 == 0o1777
