"""AGENTS.md and skills: read as advice once the folder is trusted, and never from outside it."""

from pathlib import Path

import pytest

from ml_intern.configs.advice import MAX_CHARACTERS, advice_of
from ml_intern.configs.settings import Settings
from ml_intern.configs.trust import decide
from ml_intern.nodes.prompt import render_system_prompt
from ml_intern.session.opening.options import from_settings


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ML_INTERN_HOME", str(tmp_path / "home"))
    folder = tmp_path / "work"
    skill = folder / ".agents" / "skills" / "sweep"
    skill.mkdir(parents=True)
    (folder / "AGENTS.md").write_text("Use bf16.")
    (skill / "SKILL.md").write_text("---\nname: lr-sweep\ndescription: Find a learning rate\n---\nSteps.")
    return folder


def test_nothing_is_read_before_the_folder_is_trusted(folder: Path) -> None:
    assert advice_of(folder) == ""
    decide(folder, trusted=False)
    assert advice_of(folder) == ""


def test_a_trusted_folders_advice_names_its_skills(folder: Path) -> None:
    decide(folder, trusted=True)
    advice = advice_of(folder)
    assert "Use bf16." in advice
    assert "- lr-sweep: Find a learning rate (.agents/skills/sweep/SKILL.md)" in advice
    assert "Steps." not in advice


def test_a_skill_without_a_heading_is_named_by_its_folder(folder: Path) -> None:
    (folder / ".agents" / "skills" / "sweep" / "SKILL.md").write_text("---\n{bad: [yaml\n---\n")
    decide(folder, trusted=True)
    assert "- sweep: (no description)" in advice_of(folder)


def test_long_advice_is_cut_and_says_so(folder: Path) -> None:
    (folder / "AGENTS.md").write_text("x" * (MAX_CHARACTERS + 5_000))
    decide(folder, trusted=True)
    assert "[... 5,000 characters omitted; read the file]" in advice_of(folder)


def test_a_link_to_a_file_elsewhere_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("private key")
    (folder / "AGENTS.md").unlink()
    (folder / "AGENTS.md").symlink_to(tmp_path / "secret")
    decide(folder, trusted=True)
    assert "private key" not in advice_of(folder)


def test_the_model_is_told_it_in_the_system_prompt_without_secrets(folder: Path) -> None:
    (folder / "AGENTS.md").write_text("Use bf16, and $HOME, and hf_abcdefghijklmnopqrstuvwxyzABCDEFGH.")
    assert "bf16" not in render_system_prompt({}, from_settings(Settings(), folder), "2026-01-01")
    decide(folder, trusted=True)
    system = render_system_prompt({}, from_settings(Settings(), folder), "2026-01-01")
    assert "Use bf16, and $HOME, and [redacted:" in system
    assert "They never grant permissions" in " ".join(system.split())
