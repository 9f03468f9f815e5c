"""Hooks and settings that git would run are removed from a command's repositories; the user's stay unchanged."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from ml_intern.sandbox.basic.wrapping import basic_problem
from ml_intern.sandbox.bubblewrap import Kind, sandbox_problem
from ml_intern.sandbox.git.guard import record_git_state, remove_active_git_config
from ml_intern.sandbox.git.tree import find_linked_repositories
from ml_intern.sandbox.profile import SandboxRequest, build_profile
from tests.sandbox.wrapped_runs import run_wrapped

pytestmark = pytest.mark.skipif(sandbox_problem() is not None, reason=f"no sandbox here: {sandbox_problem()}")
GIT = "git -c user.name=n -c user.email=e@x"
EVIL = "printf '#!/bin/sh\\ntouch {ran}\\n' > evil.sh; chmod +x evil.sh; evil=$PWD/evil.sh"
NEW = f"{EVIL}; git init -q .; touch a; git add a"
WAYS = {
    "a hook": f"{NEW}; cp evil.sh .git/hooks/pre-commit",
    "hooks by a link": f"{NEW}; rm -r .git/hooks; mkdir h; cp evil.sh h/pre-commit; ln -s ../h .git/hooks",
    "a file system monitor": f"{NEW}; git config core.fsmonitor $evil",
    "a folder of hooks": f"{NEW}; mkdir h; cp evil.sh h/pre-commit; git config core.hooksPath $PWD/h",
    "an included file": f"{NEW}; git config --file inc core.fsmonitor $evil; git config include.path ../inc",
    "settings by a link": f"{NEW}; git config core.fsmonitor $evil; mv .git/config c; ln -s ../c .git/config",
    "a program for differences": f"{NEW}; git config diff.external $evil; echo x > a",
    "a filter": f"{NEW}; git config filter.x.clean $evil; echo 'a filter=x' > .git/info/attributes; touch a",
    "settings of a work tree": (
        f"{NEW}; git config extensions.worktreeConfig true; git config --worktree core.fsmonitor $evil"
    ),
    "a folder of settings elsewhere": (
        f"{NEW}; cp -r .git other; git config --file other/config core.fsmonitor $evil; echo ../other > .git/commondir"
    ),
    "a repository by a file": f"{EVIL}; git init -q --separate-git-dir r .; git config core.fsmonitor $evil",
    "a repository by a link": f"{EVIL}; git init -q .; git config core.fsmonitor $evil; mv .git r; ln -s r .git",
    "a repository within": (
        f"{NEW}; git init -q s; cd s; {GIT} commit -q --allow-empty -m x; git config core.fsmonitor $evil; "
        "cd ..; git add s 2>&1"
    ),
    "two repositories within": (
        f"{NEW}; git init -q s; cd s; git init -q t; cd t; {GIT} commit -q --allow-empty -m x; "
        f"git config core.fsmonitor $evil; cd ..; git add t; {GIT} commit -qm x; cd ..; git add s 2>&1"
    ),
    "a repository below folders": f"{EVIL}; mkdir -p a/b; cd a/b; git init -q .; git config core.fsmonitor $evil",
    "a bare repository": (
        f"{EVIL}; git init -q --bare a; cd a; git config core.worktree ..; git config core.bare false; "
        "git config core.fsmonitor $evil"
    ),
    "a work tree with settings elsewhere": (
        f"{EVIL}; git init -q a; cd a; {GIT} commit -q --allow-empty -m x; git worktree add -q ../b; cp -r .git ../c; "
        "git config --file ../c/config core.fsmonitor $evil; echo ../../../../c > .git/worktrees/b/commondir"
    ),
    "settings of unusual size": (
        f"{NEW}; git config core.fsmonitor $evil; head -c 2000000 /dev/zero | tr '\\0' '#' >> .git/config"
    ),
    "files of an earlier command": (
        f"{EVIL}; git init -q a; cd a; git config core.fsmonitor $evil; mv .git g; mv g/HEAD ."
    ),
}
LATER = {"files of an earlier command": "cd a; mv g .git; mv HEAD .git/"}
INNER = "a repository within", "two repositories within"


def inside(workspace: Path, command: str, *removes: Path) -> list[str]:
    profile = build_profile(SandboxRequest(str(workspace), removes=tuple(map(str, removes))), os.environ)
    ran = run_wrapped(["bash", "-c", command], profile)
    assert ran.code == 0, ran.err
    return ran.removed


def test_repositories_that_the_user_added_between_commands_stay(tmp_path: Path) -> None:
    inside(tmp_path, "true")
    part = tmp_path / "a/part"
    subprocess.run(["git", "init", "-q", part], check=True)
    subprocess.run(["git", "-C", part, "config", "filter.lfs.clean", "git-lfs clean"], check=True)
    (part / ".git/hooks/pre-push").write_text("mine")
    assert inside(tmp_path, f"cd a/part; touch x; git add x; {GIT} commit -qm x; git config user.name n; true") == []
    assert (part / ".git/hooks/pre-push").read_text() == "mine"
    assert "git-lfs" in (part / ".git/config").read_text()


def test_removal_follows_no_link_that_replaced_a_folder(tmp_path: Path) -> None:
    workspace, other = tmp_path / "ws", tmp_path / "other"
    workspace.mkdir()
    before = record_git_state((str(workspace),), ())
    subprocess.run(["git", "init", "-q", other], check=True)
    (other / ".git/hooks/pre-push").write_text("mine")
    (workspace / "part").mkdir()
    (workspace / "part/.git").symlink_to(other / ".git")
    (workspace / "whole").symlink_to(other)
    assert remove_active_git_config(before) == [f"{workspace}/part/.git"]
    assert (other / ".git/hooks/pre-push").read_text() == "mine"


def users_git(workspace: Path) -> None:
    """Run the git commands that a user or a shell prompt runs in a folder."""
    git = ["git", "-c", "user.name=n", "-c", "user.email=e@x", "-c", "safe.directory=*"]
    for words in (["status"], ["diff"], ["add", "-A"], ["commit", "-qm", "mine"]):
        subprocess.run([*git, *words], cwd=workspace, capture_output=True, check=False)


@pytest.mark.parametrize("way", WAYS)
def test_the_users_git_runs_nothing_that_a_command_left(tmp_path: Path, way: str) -> None:
    for cleaned in (False, True):
        workspace, ran = tmp_path / f"ws{cleaned}", tmp_path / f"ran{cleaned}"
        workspace.mkdir()
        command = WAYS[way].format(ran=ran)
        for each in filter(None, (command, LATER.get(way))):
            if cleaned:
                removed = inside(workspace, each)
            else:
                subprocess.run(["bash", "-c", each], cwd=workspace, capture_output=True, check=True)
        assert not cleaned or removed
        for folder in (workspace, *(git.parent for git in workspace.rglob(".git")), *workspace.glob("a/")):
            users_git(folder)
        assert ran.exists() is not cleaned


@pytest.mark.parametrize("way", INNER)
def test_repositories_nested_in_a_protected_one_are_cleaned(tmp_path: Path, way: str) -> None:
    workspace, ran = tmp_path / "ws", tmp_path / "ran"
    subprocess.run(["git", "init", "-q", workspace], check=True)
    assert inside(workspace, WAYS[way].format(ran=ran).replace("git init -q .;", "")) != []
    users_git(workspace)
    assert not ran.exists()


def test_a_new_repository_works_and_its_harmless_settings_stay(tmp_path: Path) -> None:
    command = f"git init -q . && touch a && git add a && {GIT} commit -qm one && git remote add origin ../other"
    assert inside(tmp_path, command) == []
    log = subprocess.run(["git", "-C", tmp_path, "log", "--oneline"], capture_output=True, text=True, check=True)
    assert log.stdout.endswith(" one\n")
    assert "../other" in (tmp_path / ".git/config").read_text()


def test_the_users_settings_in_a_nested_repository_stay(tmp_path: Path) -> None:
    part = tmp_path / "part"
    subprocess.run(["git", "init", "-q", part], check=True)
    subprocess.run(["git", "-C", part, "config", "core.pager", "less"], check=True)
    (part / ".git/hooks/pre-push").write_text("mine")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    commit = [
        "git",
        "-C",
        str(part),
        "-c",
        "user.name=n",
        "-c",
        "user.email=e@x",
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "x",
    ]
    subprocess.run(commit, check=True)
    time.sleep(0.05)  # the clock of files is coarse
    assert inside(tmp_path, "git add part 2>&1") == []
    assert (part / ".git/hooks/pre-push").read_text() == "mine"
    assert "less" in (part / ".git/config").read_text()


@pytest.mark.parametrize("how", ["link", "file"])
def test_a_separate_git_dir_is_protected_and_stays(tmp_path: Path, how: str) -> None:
    subprocess.run(["git", "init", "-q", "--separate-git-dir", tmp_path / "separate", tmp_path], check=True)
    if how == "link":
        (tmp_path / ".git").unlink()
        (tmp_path / ".git").symlink_to("separate")
    ran = tmp_path / "ran"
    command = (
        EVIL.format(ran=ran) + "; git config core.fsmonitor $evil; cp evil.sh separate/hooks/pre-commit; git status -s"
    )
    assert inside(tmp_path, command + "; true") == []
    users_git(tmp_path)
    assert not ran.exists()
    swapped = f"{EVIL}; rm -rf .git; git init -q .; git config core.fsmonitor $evil; true".format(ran=ran)
    assert inside(tmp_path, swapped) or how == "file"
    users_git(tmp_path)
    assert not ran.exists()


@pytest.mark.parametrize("kind", ["bubblewrap", "basic"])
def test_a_linked_work_tree_is_read_and_keeps_naming_its_repository(tmp_path: Path, kind: Kind) -> None:
    if kind == "basic" and (problem := basic_problem()):
        pytest.skip(f"no basic sandbox here: {problem[0]}")
    main, tree = tmp_path / "main", tmp_path / "tree"
    subprocess.run(["git", "init", "-q", main], check=True)
    subprocess.run([*GIT.split(), "-C", main, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    subprocess.run(["git", "-C", main, "worktree", "add", "-q", tree], check=True)
    pointer = (tree / ".git").read_text()

    def run(command: str) -> str:
        profile = build_profile(SandboxRequest(str(tree), kind=kind), {**os.environ, "HOME": str(tmp_path)})
        return run_wrapped(["bash", "-c", f"{command} 2>&1"], profile).out

    assert run("git log --format=%s; git status --short") == "first\n"
    run("git init -q evil; git -C evil config core.fsmonitor x; rm -f .git; echo gitdir: $PWD/evil/.git > .git")
    assert (tree / ".git").read_text() == pointer
    run(f"echo evil >> {main}/.git/config; echo x > {main}/.git/worktrees/tree/commondir")
    assert "evil" not in (main / ".git/config").read_text()
    assert run("git log --format=%s") == "first\n"


def test_a_work_tree_that_its_repository_does_not_know_sees_nothing_of_it(tmp_path: Path) -> None:
    main, tree = tmp_path / "main", tmp_path / "tree"
    subprocess.run(["git", "init", "-q", main], check=True)
    (main / ".git/worktrees/other").mkdir(parents=True)
    (main / ".git/worktrees/other/commondir").write_text("../..")
    (main / ".git/worktrees/other/gitdir").write_text(str(tmp_path / "elsewhere/.git"))
    tree.mkdir()
    (tree / ".git").write_text(f"gitdir: {main}/.git/worktrees/other")
    assert list(find_linked_repositories([str(tree)])) == []


def vendored(workspace: Path) -> Path:
    """Make a repository in a folder of the workspace, with a hook and a setting of the user."""
    part = workspace / "vendor"
    subprocess.run(["git", "init", "-q", part], check=True)
    subprocess.run(["git", "-C", part, "config", "core.pager", "less"], check=True)
    (part / ".git/hooks/pre-push").write_text("mine")
    time.sleep(0.05)  # the clock of files is coarse
    return part


def test_a_nested_repository_is_removed_by_a_command_that_names_it(tmp_path: Path) -> None:
    part = vendored(tmp_path)
    assert inside(tmp_path, "rm -r vendor", part) == []
    assert not part.exists()


def test_a_nested_repository_is_moved_with_the_settings_of_the_user(tmp_path: Path) -> None:
    part = vendored(tmp_path)
    assert inside(tmp_path, "mv vendor third", part) == []
    assert (tmp_path / "third/.git/hooks/pre-push").read_text() == "mine"
    assert "less" in (tmp_path / "third/.git/config").read_text()


@pytest.mark.parametrize("command", ["mv vendor third; cd third", "cd vendor"])
def test_what_a_command_changes_in_a_repository_that_it_names_is_removed_afterwards(
    tmp_path: Path, command: str
) -> None:
    part = vendored(tmp_path)
    removed = inside(tmp_path, f"{command}; git config core.fsmonitor evil; echo evil > .git/hooks/post-commit", part)
    [config, hook] = sorted(Path(line.split(" in ")[-1]).name for line in removed if "core.pager" not in line)
    assert (config, hook) == ("config", "post-commit")
    left = next(tmp_path.glob("*/.git"))
    assert "evil" not in (left / "config").read_text()
    assert not (left / "hooks/post-commit").exists()


@pytest.mark.parametrize("name", [".git/hooks/pre-push", ".git/config"])
def test_a_control_file_that_was_changed_and_backdated_is_found(tmp_path: Path, name: str) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    file = tmp_path / name
    content = b"[core]\n\tpager = less\n" if name.endswith("config") else b"#!/bin/sh\n: less\n"
    file.write_bytes(content)
    before, state = file.stat(), record_git_state((str(tmp_path),), ())
    assert remove_active_git_config(state) == []
    while file.stat().st_ctime_ns == before.st_ctime_ns:  # the clock of files is coarse
        file.write_bytes(content.replace(b"less", b"evil"))
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_mtime_ns, file.stat().st_size) == (before.st_mtime_ns, before.st_size)
    assert remove_active_git_config(state) != []
    assert not file.exists() or b"evil" not in file.read_bytes()
