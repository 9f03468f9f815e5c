"""The memory of a folder: who shares it, what survives, and what is refused."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ml_intern.configs.errors import ConfigurationError, UsageError
from ml_intern.configs.memory.facts import Fact, facts_in
from ml_intern.configs.memory.file import forget, memory_file, read_memory, remember


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ML_INTERN_HOME", str(tmp_path / "home"))
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def texts(folder: Path) -> list[str]:
    return [fact.text for fact in facts_in(read_memory(folder)).values()]


def test_facts_are_added_contradicted_and_forgotten(folder: Path) -> None:
    remember(folder, Fact("bf16 fails", "2026-11-20", "run a"))
    remember(folder, Fact("bf16 works with torch 2.9", "2026-11-23", "run b"), contradicts=1)
    assert facts_in(read_memory(folder)) == {
        1: Fact("bf16 fails", "2026-11-20", "run a", "2026-11-23"),
        2: Fact("bf16 works with torch 2.9", "2026-11-23", "run b"),
    }
    assert forget(folder, 1).text == "bf16 fails"
    assert texts(folder) == ["bf16 works with torch 2.9"]


def test_only_the_user_can_read_the_file(folder: Path) -> None:
    remember(folder, Fact("a"))
    file = memory_file(folder)
    assert [oct(path.stat().st_mode & 0o777) for path in (file, file.parent)] == ["0o600", "0o700"]


def test_a_fact_is_added_once_and_again_after_it_was_contradicted(folder: Path) -> None:
    for fact in (Fact("a", "2026-11-20"), Fact("a", "2026-11-21")):
        remember(folder, fact)
    assert texts(folder) == ["a"]
    remember(folder, Fact("not a", "2026-11-22"), contradicts=1)
    remember(folder, Fact("a", "2026-11-23"), contradicts=2)
    assert texts(folder) == ["a", "not a", "a"]


def test_an_unknown_number_changes_nothing(folder: Path) -> None:
    remember(folder, Fact("a", "2026-11-20"))
    before = read_memory(folder)
    for change in (lambda: forget(folder, 2), lambda: remember(folder, Fact("b"), contradicts=9)):
        with pytest.raises(UsageError, match="there is no fact"):
            change()
    assert read_memory(folder) == before


def test_facts_added_at_the_same_time_are_all_there(folder: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: remember(folder, Fact(f"fact {number}")), range(40)))
    assert sorted(texts(folder)) == sorted(f"fact {number}" for number in range(40))


def test_a_linked_work_tree_shares_the_memory_but_no_folder_can_claim_to_be_one(folder: Path) -> None:
    git = ("git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b")
    linked, claiming = folder.parent / "linked", folder.parent / "claiming"
    for words in (("init", "-q"), ("commit", "-q", "--allow-empty", "-m", "x"), ("worktree", "add", "-q", str(linked))):
        subprocess.run([*git, *words], check=True, capture_output=True)
    claiming.mkdir()
    (claiming / ".git").write_bytes((linked / ".git").read_bytes())
    assert memory_file(linked) == memory_file(folder) != memory_file(claiming)


def test_a_file_that_cannot_be_read_is_named_with_the_remedy(folder: Path) -> None:
    memory_file(folder).parent.mkdir(parents=True)
    memory_file(folder).write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="cannot read") as raised:
        remember(folder, Fact("a"))
    assert "fix or remove it" in raised.value.remedy
    assert memory_file(folder).read_bytes() == b"\xff\xfe"
