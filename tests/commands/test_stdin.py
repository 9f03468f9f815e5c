"""Standard input as part of a prompt."""

import os
import resource
import sys
from collections.abc import Iterator

import pytest

from ml_intern.commands.running.prompt import read_stdin

HIGH = 1_500
"""A descriptor that select() does not take."""


@pytest.fixture
def high_stdin(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A pipe as stdin, with a high descriptor. Yields the writing end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard <= HIGH:
        pytest.skip(f"a process may have {hard} open files only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, HIGH + 1), hard))
    reading, writing = os.pipe()
    os.dup2(reading, HIGH)
    os.close(reading)
    with open(HIGH, encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield writing
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_pipe_with_a_high_descriptor_is_read(high_stdin: int) -> None:
    os.write(high_stdin, b"from a pipe")
    os.close(high_stdin)
    assert read_stdin(wait=False) == "from a pipe"


def test_a_silent_pipe_is_left_out_with_a_note(high_stdin: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert read_stdin(wait=False) == ""
    os.close(high_stdin)
    assert "stdin is open but sent nothing" in capsys.readouterr().err
