"""The command prefixes that "always allow" stores: the first words of each sub-command."""

from collections.abc import Sequence

from ml_intern.safety.shell.invocations import INTERPRETERS, SHELLS, WRAPPERS
from ml_intern.safety.shell.paths import SECRETS, CommandContext
from ml_intern.safety.shell.reading import find_command_problem
from ml_intern.safety.shell.words import NotPlain, plain_commands
from ml_intern.text.word_table import words

DEFAULT_ARITY = 1
# The number of words that identify a command; the longest matching entry applies.
_ARITY_LINES = """
2 git hf gh docker podman kubectl npm pnpm yarn cargo go pip pip3 uv conda mamba poetry pipenv pixi hatch rye pdm brew
2 apt apt-get dnf yum systemctl terraform aws az dvc mlflow wandb kaggle accelerate jupyter make just tox nox ruff black
2 mypy python python3 node ruby perl Rscript julia torchrun deepspeed ollama ssh-keygen twine helm openssl svn hg tmux
3 docker compose
3 docker image
3 docker container
3 docker volume
3 docker network
3 docker buildx
3 uv pip
3 uv run
3 uv tool
3 uv python
3 poetry run
3 pipenv run
3 conda run
3 conda env
3 hf jobs
3 hf repo
3 hf repos
3 hf auth
3 hf cache
3 gh pr
3 gh issue
3 gh repo
3 gh release
3 gh api
3 git remote
3 git stash
3 git worktree
3 git submodule
3 git config
3 npm run
3 pnpm run
3 yarn run
3 python -m
3 python3 -m
3 aws s3
3 aws ec2
3 kubectl get
3 accelerate launch
3 torchrun --standalone
"""
ARITY: dict[tuple[str, ...], int] = {}
for _line in _ARITY_LINES.split("\n"):
    _number, *_names = _line.split() or ["0"]
    if _number == "2":
        ARITY |= {(name,): 2 for name in _names}
    elif _names:
        ARITY[tuple(_names)] = int(_number)

# These run arbitrary programs or code, so a prefix would allow everything.
_NEVER = (
    SHELLS | frozenset(WRAPPERS) | words("eval source . su ssh curl wget rm dd find awk sed tee kill chmod chown ln mv")
)


def prefix_of(command: Sequence[str]) -> tuple[str, ...] | None:
    """Return the prefix that "always" would allow, or None if no prefix of this command is safe."""
    name = command[0].rsplit("/", 1)[-1]
    if name in _NEVER or not command[0] or "=" in command[0]:
        return None
    length = max((number for key, number in ARITY.items() if tuple(command[: len(key)]) == key), default=DEFAULT_ARITY)
    prefix = tuple(command[:length])
    if len(prefix) < length:
        return prefix if len(command) == len(prefix) > 1 else None
    if name.rstrip("0123456789.") in INTERPRETERS and any(word in {"-c", "-e", "-"} for word in prefix):
        return None
    return prefix


def always_prefixes(command: str, context: CommandContext) -> tuple[tuple[str, ...], ...]:
    """Return the prefixes that must be allowed for `command` to run unasked; empty if "always" cannot be offered.

    Read-only sub-commands need none. Commands with substitutions or redirections have no prefixes.
    """
    try:
        commands = plain_commands(command)
    except NotPlain:
        return ()
    found: list[tuple[str, ...]] = []
    for one in commands:
        problem = find_command_problem(one.words, context, frozenset({context.folder}))
        if problem.endswith(SECRETS):
            return ()
        if problem:
            prefix = prefix_of([word.text for word in one.words])
            if prefix is None:
                return ()
            found.append(prefix)
    return tuple(dict.fromkeys(found))
