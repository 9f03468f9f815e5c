"""The paths that a command names to remove or to move, by which nested repositories are left unprotected."""

import pytest

from ml_intern.safety.files.removed import removed_paths
from ml_intern.safety.shell.invocations import parse_command
from ml_intern.safety.shell.paths import CommandContext

CONTEXT = CommandContext("/ws", home="/home/user", match=lambda pattern: (pattern.replace("*", "a"),))


@pytest.mark.parametrize(
    ("command", "paths"),
    [
        ("rm -rf vendor", ["/ws/vendor"]),
        ("cd third && rm -r -- x y", ["/ws/third/x", "/ws/third/y"]),
        ("rm -rf vendor/*", ["/ws/vendor/a"]),
        ("mv vendor old", ["/ws/vendor", "/ws/old"]),
        ("sudo rm -r vendor", ["/ws/vendor"]),
        ("bash -c 'rm -r vendor'", ["/ws/vendor"]),
        ("git -C . submodule deinit -f vendor", ["/ws/vendor"]),
        ("git worktree remove ../ws/w", ["/ws/w"]),
        ("git rm -r vendor", ["/ws/vendor"]),
        ("ls vendor; cat vendor/a; git status vendor; git clone x vendor; cp -r vendor b; python rm vendor", []),
    ],
)
def test_the_removed_paths_of_a_command(command: str, paths: list[str]) -> None:
    assert set(paths) <= set(removed_paths(parse_command(command, CONTEXT)))
    assert bool(paths) == bool(removed_paths(parse_command(command, CONTEXT)))
