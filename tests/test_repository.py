"""What the repository promises besides its code: the licence, the lock file, the changelog, the checks."""

import re
import subprocess
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()


def locked() -> dict[str, Version]:
    return {match[1]: Version(match[2]) for match in re.finditer(r"^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;]+)", LOCK, re.M)}


def test_the_lock_pins_every_dependency_within_its_range() -> None:
    pins = locked()
    for text in PROJECT["dependencies"]:
        wanted = Requirement(text)
        name = wanted.name.replace("_", "-").lower()
        assert pins[name] in wanted.specifier, text


def test_every_locked_package_has_hashes() -> None:
    blocks = re.split(r"\n(?=\S)", "\n".join(line for line in LOCK.splitlines() if not line.startswith("#")))
    assert [block.split()[0] for block in blocks if block.strip() and "--hash=sha256:" not in block] == []


def test_the_lock_names_no_index_host_or_url() -> None:
    named = re.findall(r"://|--index|--extra-index|--find-links|--trusted-host|\b[\w-]+\.(?:org|com|io|net)\b", LOCK)
    assert named == []


def test_the_stolen_litellm_releases_stay_out() -> None:
    assert locked()["litellm"] not in {Version("1.82.7"), Version("1.82.8")}


def test_the_licence_is_the_whole_apache_2_text() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert PROJECT["license"] == "Apache-2.0"


def test_the_changelog_has_a_section_for_this_version() -> None:
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_ci_script_is_valid_bash_and_ends_with_the_readmes_test_command() -> None:
    script = ROOT / ".ci" / "run"
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert "set -euo pipefail" in script.read_text()
    assert "uv run pytest" in script.read_text()
    assert "uv run pytest" in (ROOT / "README.md").read_text()


def test_the_workflow_runs_the_ci_script_and_names_no_package_index() -> None:
    text = (ROOT / ".github/workflows/ci.yml").read_text()
    assert ".ci/run" in text
    assert re.findall(r"://|index-url|pypi", text) == []
