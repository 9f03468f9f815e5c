import pytest

from ml_intern.safety.shell.paths import CommandContext
from ml_intern.safety.shell.prefixes import always_prefixes, prefix_of

PLACE = CommandContext("/ws", home="/home/u")


@pytest.mark.parametrize(
    ("command", "prefix"),
    [
        ("git push origin main", ("git", "push")),
        ("git remote add x y", ("git", "remote", "add")),
        ("docker compose up -d", ("docker", "compose", "up")),
        ("docker ps", ("docker", "ps")),
        ("uv pip install torch", ("uv", "pip", "install")),
        ("uv sync", ("uv", "sync")),
        ("npm run build", ("npm", "run", "build")),
        ("python train.py --lr 1e-4", ("python", "train.py")),
        ("python -m pytest -q", ("python", "-m", "pytest")),
        ("pytest -q tests", ("pytest",)),
        ("make train", ("make", "train")),
        ("mkdir -p out", ("mkdir",)),
    ],
)
def test_a_prefix_consists_of_the_words_that_identify_the_command(command: str, prefix: tuple[str, ...]) -> None:
    assert prefix_of(command.split()) == prefix


@pytest.mark.parametrize(
    "command",
    [
        "bash run.sh",
        "sh -c id",
        "sudo ls",
        "env ls",
        "python -c 1",
        "xargs rm",
        "rm x",
        "curl x",
        "ssh h ls",
        "eval x",
        "A=1 ls",
        "git",
    ],
)
def test_commands_that_can_run_anything_have_no_prefix(command: str) -> None:
    assert prefix_of(command.split()) is None


def test_each_sub_command_has_its_own_prefix_except_read_only_ones() -> None:
    assert always_prefixes("git fetch && python train.py | tail -5", PLACE) == (
        ("git", "fetch"),
        ("python", "train.py"),
    )


@pytest.mark.parametrize(
    "command", ["make > out", "make $(id)", "make &", "make; rm x", "make `id`", "make 'x", "for i in 1; do make; done"]
)
def test_commands_with_complex_syntax_cannot_be_always_allowed(command: str) -> None:
    assert always_prefixes(command, PLACE) == ()
