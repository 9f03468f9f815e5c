"""Whatever may print a project's secrets is judged by the files it would reach, not by its words."""

from pathlib import Path

import pytest

from ml_intern.safety.files.disk import disk_facts, matching_files, resolve
from ml_intern.safety.policy import PolicyContext, verdict
from ml_intern.safety.shell.analysis import classify
from ml_intern.safety.shell.paths import CommandContext
from ml_intern.safety.shell.prefixes import always_prefixes

ATTACKS = (
    ("grep -rn '' .", "grep -rn '' src"),
    ("grep -r KEY", "grep -r KEY src/"),
    ("grep -r --include='*' KEY .", "grep -r --include='*.py' KEY ."),
    ("grep -rn '' ./conf", "grep -rn '' src/sub"),
    ("cd conf && grep -rn ''", "cd src && grep -rn ''"),
    ("rg --hidden KEY", "rg KEY src"),
    ("rg -uuu KEY", "rg -n KEY src"),
    ("rg --no-ignore --hidden KEY .", "rg KEY src/sub"),
    ("rg -g '.env*' KEY", "rg -g '*.py' KEY"),
    ("cat .e*", "cat src/*.py"),
    ("head -n1 {.env,a}", "head -n1 src/a.py"),
    ("cat conf/*", "cat src/*"),
    ("awk 1 .[e]nv", "awk 1 src/a.py"),
)


@pytest.fixture
def place(tmp_path: Path) -> CommandContext:
    for name, text in (("src/a.py", "a"), ("src/sub/b.py", "b"), (".env", "KEY=x"), ("conf/secrets.yaml", "k: v")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    folder = resolve(str(tmp_path))
    return CommandContext(folder, home="/home/u", resolve=resolve, match=matching_files, files=disk_facts())


@pytest.mark.parametrize(("attack", "twin"), ATTACKS)
def test_a_command_that_would_print_secrets_is_asked_about(place: CommandContext, attack: str, twin: str) -> None:
    assert classify(attack, place).kind == "ask"
    assert classify(twin, place).kind == "auto"


@pytest.mark.parametrize("command", ["find . -exec cat {} +", "find . -exec head {} \\;", "find . | xargs cat"])
def test_it_is_asked_about_in_the_sandbox_too(place: CommandContext, command: str) -> None:
    assert classify(command, place, sandboxed=True).kind == "ask"
    assert classify("find src -exec cat {} +", place, sandboxed=True).kind == "auto"


@pytest.mark.parametrize("mode", ["ask", "plan"])
def test_reading_a_secret_file_is_asked_about_where_somebody_can_answer(mode: str) -> None:
    context = PolicyContext(mode=mode, read_only=True, workspace="/ws", paths=("/ws/.env",))  # type: ignore[arg-type]
    assert verdict("read", {"path": ".env"}, context).kind == "ask"


def test_always_is_not_offered_for_a_search_that_prints_secrets(place: CommandContext) -> None:
    assert always_prefixes("grep -rn '' .", place) == ()
    assert "usually contains secrets" in classify("grep -rn '' .", place, sandboxed=True).why
