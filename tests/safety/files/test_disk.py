"""Facts from the disk: repositories of any name, files that git's settings name, archives; nothing raises."""

import json
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from ml_intern.safety.files.content import controls_alike
from ml_intern.safety.files.disk import disk_facts, home, matching_files, resolve
from ml_intern.safety.files.facts import UNRESOLVED
from ml_intern.safety.files.protected import Place, find_control
from ml_intern.safety.policy import PolicyContext, verdict


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = Path(os.path.realpath(tmp_path)) / "ws"
    (folder / "src").mkdir(parents=True)
    git(folder, "init", "-q")
    return folder


def kind(workspace: Path, name: str) -> str:
    control = find_control(resolve(str(workspace / name)), Place(str(workspace), (), disk_facts()))
    return control.kind if control else ""


def test_a_repository_is_recognised_whatever_its_name(workspace: Path) -> None:
    git(workspace, "init", "-q", "--bare", "store")
    git(workspace, "init", "-q", "--separate-git-dir", str(workspace / "apart"), "wt")
    names = ("store/config", "store/hooks/update", "apart/config", "apart/info/attributes", "wt/.git")
    assert {kind(workspace, name) for name in names} == {"git"}
    assert {kind(workspace, name) for name in ("src/config", "src/hooks/update", "store/notes")} == {""}


def test_files_that_gits_settings_name_are_control_files(workspace: Path) -> None:
    for name in ("src/clean.py", "src/status.sh", "src/train.py"):
        (workspace / name).touch()
    git(workspace, "config", "core.hooksPath", "scripts/hooks")
    git(workspace, "config", "filter.x.clean", "./src/clean.py --fast")
    git(workspace, "config", "include.path", "../more.cfg")
    git(workspace, "config", "remote.origin.url", "src/train.py")
    (workspace / "more.cfg").write_text("[alias]\n\ts = !./src/status.sh\n")
    names = ("scripts/hooks/pre-commit", "src/clean.py", "src/status.sh", "more.cfg")
    assert {kind(workspace, name) for name in names} == {"git"}
    assert kind(workspace, "src/train.py") == ""


def test_links_to_control_files_are_followed(workspace: Path) -> None:
    (workspace / "data").symlink_to(workspace / ".git/hooks")
    assert kind(workspace, "data/pre-commit") == "git"


def shell(workspace: Path, command: str, **facts: object) -> str:
    given = PolicyContext(
        mode="auto", workspace=str(workspace), home="/home/u", taint=("a page",), resolve=resolve,
        match=matching_files, files=disk_facts(), **facts,  # type: ignore[arg-type]
    )  # fmt: skip
    return verdict("bash", {"command": command}, given).kind


def test_an_archive_is_judged_by_the_names_in_it(workspace: Path) -> None:
    (workspace / "x").touch()
    with tarfile.open(workspace / "evil.tar.gz", "w:gz") as tar:
        tar.add(workspace / "x", "deep/.git/hooks/pre-push")
    with zipfile.ZipFile(workspace / "evil.zip", "w") as archive:
        archive.writestr(".envrc", "id")
        archive.writestr("data.csv", "1")
    with tarfile.open(workspace / "good.tar", "w") as tar:
        tar.add(workspace / "x", "data/x.csv")
    evil = ("tar xzf evil.tar.gz", "tar -x -f evil.tar.gz --strip-components=1", "unzip evil.zip",
            "unzip -d out evil.zip", "python -m zipfile -e evil.zip .", "cd src && tar xf ../evil.tar.gz")  # fmt: skip
    assert {shell(workspace, command) for command in evil} == {"deny"}
    assert shell(workspace, "tar xf good.tar") == shell(workspace, "tar tzf evil.tar.gz") == "allow"


def test_find_is_judged_by_the_files_it_reaches(workspace: Path) -> None:
    (workspace / "conftest.py").touch()
    assert shell(workspace, "find . -name 'conf*.py' -exec sed -i s/a/b/ {} +") == "deny"
    assert shell(workspace, "find . -type f -exec chmod +x {} +") == "deny"
    assert shell(workspace, "find src -name '*.py' -exec sed -i s/a/b/ {} +") == "allow"


@pytest.mark.parametrize("path", ["/proc/1/exe", "a\0b", "/" + "x" * 5000, "\ud800", "/proc/self/fd/999"])
def test_no_fact_raises(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = disk_facts()
    for each in (resolve, matching_files, facts.below, facts.members, facts.is_repository, facts.git_files):
        each(path)
    monkeypatch.setattr(os, "readlink", lambda *_args, **_options: (_ for _ in ()).throw(PermissionError()))
    assert resolve("/proc/self/exe") == UNRESOLVED
    monkeypatch.delenv("HOME")
    assert home().startswith("/")


def test_what_could_not_be_resolved_is_asked_about_and_refused_unattended() -> None:
    for mode, expected in (("ask", "ask"), ("auto", "deny"), ("plan", "deny"), ("yolo", "allow")):
        context = PolicyContext(mode=mode, unresolved="the disk is gone")  # type: ignore[arg-type]
        assert verdict("write", {}, context).kind == expected
    assert "the disk is gone" in verdict("write", {}, PolicyContext(unresolved="the disk is gone")).why


BUILD = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
NOTEBOOK = {"cells": [], "metadata": {"kernelspec": {"name": "python3"}}}


@pytest.mark.parametrize(
    ("before", "after", "alike"),
    [
        ("", BUILD + '[project]\nname = "x"\ndependencies = ["torch"]\n[tool.ruff]\nline-length = 100\n', True),
        (BUILD, BUILD + "[tool.black]\nline-length = 100\n", True),
        (BUILD + "[tool.uv]\npackage = true\n", BUILD + '[project]\nname = "x"\n[tool.uv]\npackage = true\n', True),
        ("", '[build-system]\nrequires = []\nbuild-backend = "evil"\nbackend-path = ["."]\n', False),
        (BUILD, BUILD.replace("hatchling.build", "evil"), False),
        (BUILD, BUILD + '[tool.pytest.ini_options]\naddopts = "-p evil"\n', False),
        (BUILD, BUILD + '[project.entry-points.pytest11]\nevil = "evil"\n', False),
        (BUILD, BUILD + "[tool.hatch.build.hooks.custom]\n", False),
        ("", "not [ toml", False),
    ],
)
def test_a_pyproject_is_judged_by_what_builds_and_tests_take_from_it(before: str, after: str, *, alike: bool) -> None:
    assert controls_alike("/ws/pyproject.toml", before, after) is alike


@pytest.mark.parametrize(
    ("metadata", "alike"),
    [
        ({"kernelspec": {"name": "python3"}}, True),
        ({"kernelspec": {"name": "evil"}}, False),
        ({"widgets": {"a": 1}}, False),
    ],
)
def test_a_notebook_is_judged_by_its_metadata(metadata: dict[str, object], *, alike: bool) -> None:
    after = json.dumps({"cells": [{"cell_type": "code", "source": "1"}], "metadata": metadata})
    assert controls_alike("/ws/a.ipynb", json.dumps(NOTEBOOK), after) is alike
    assert controls_alike("/ws/a.ipynb", "", after) is alike
    assert not controls_alike("/ws/conftest.py", "", "")
