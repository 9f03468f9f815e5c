"""Run a command in the sandbox to its end."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from ml_intern.sandbox.bubblewrap import Profile
from ml_intern.sandbox.wrap import wrap


@dataclass(frozen=True)
class Ran:
    """The result of a command, with the connections that its proxy refused and established, and what was removed."""

    code: int
    out: str
    err: str
    refused: list[str]
    reached: list[str]
    removed: list[str]


def run_wrapped(
    argv: Sequence[str], profile: Profile, timeout: float = 120, stdin: int | IO[bytes] = subprocess.DEVNULL
) -> Ran:
    with wrap(argv, profile) as wrapped:
        with wrapped.start(stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                out, err = (text.decode(errors="replace") for text in process.communicate(timeout=timeout))
            finally:
                process.kill()
        refused, reached = (wrapped.egress.refused, wrapped.egress.reached) if wrapped.egress else ([], [])
    return Ran(process.returncode, out, err, refused, reached, wrapped.removed)
