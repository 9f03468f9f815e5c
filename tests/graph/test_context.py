"""The options of a run, in words."""

import pytest

from ml_intern.graph.context import REMOTE_SANDBOX, sandbox_words


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bwrap network list", "sandbox, listed hosts"),
        ("bwrap network list mirror.example", "sandbox, listed hosts"),
        ("basic network off", "basic sandbox, no network"),
        ("bwrap network on", "sandbox, whole network"),
        ("none", "no sandbox"),
        (REMOTE_SANDBOX, REMOTE_SANDBOX),
    ],
)
def test_the_status_line_names_the_sandbox_in_words(name: str, words: str) -> None:
    assert sandbox_words(name) == words
