import pytest

from ml_intern.safety.shell.paths import Place
from ml_intern.safety.shell.prefixes import always_prefixes, prefix_of

PLACE = Place("/ws", home="/home/u")


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
def test_a_prefix_has_as_many_words_as_name_the_command(command: str, prefix: tuple[str, ...]) -> None:
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
def test_what_could_run_anything_has_no_prefix(command: str) -> None:
    assert prefix_of(command.split()) is None


def test_each_sub_command_of_a_pipeline_has_its_own_prefix_and_reading_needs_none() -> None:
    assert always_prefixes("git fetch && python train.py | tail -5", PLACE) == (
        ("git", "fetch"),
        ("python", "train.py"),
    )


@pytest.mark.parametrize(
    "command", ["make > out", "make $(id)", "make &", "make; rm x", "make `id`", "make 'x", "for i in 1; do make; done"]
)
def test_more_than_plain_commands_cannot_be_always_allowed(command: str) -> None:
    assert always_prefixes(command, PLACE) == ()
