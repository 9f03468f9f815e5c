"""Print how many attacks the tests try, and how many of them have a harmless twin that must work.

Run the attacks themselves: `uv run pytest tests/safety tests/sandbox tests/execution/test_laundering_reads.py
tests/session/test_laundering.py tests/injection`.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.execution.laundering_cases import READS  # noqa: E402  (a script: the checkout first)
from tests.injection.cases import cases  # noqa: E402
from tests.safety import exfiltration_cases as sending  # noqa: E402
from tests.safety.files import attacks as files  # noqa: E402
from tests.safety.shell.test_hidden_reads import DENIED  # noqa: E402
from tests.sandbox.escape_cases import ESCAPES  # noqa: E402
from tests.sandbox.escape_twins import TWINS  # noqa: E402
from tests.session.test_laundering import CUT_OFF, EXPERIMENTS, WAYS  # noqa: E402


def counted() -> Mapping[str, tuple[int, int]]:
    """Return the attacks and the twins by subject."""
    tables = {
        "files that other programs obey": (
            files.GIT_FILES,
            files.PROGRAM_FILES,
            files.GIT_COMMANDS,
            files.PROGRAM_COMMANDS,
        ),
        "denied commands in other spellings": (DENIED,),
        "exfiltration": (sending.COMMANDS, sending.SECRETS, sending.ADDRESSES, sending.REQUESTS),
        "laundering": (READS, WAYS, EXPERIMENTS, [row for row in CUT_OFF if row[2]]),
        "injection": (cases(),),
    }
    pairs = {subject: sum(map(len, rows)) for subject, rows in tables.items()}
    escapes = {escape.name for escape in ESCAPES}
    return {
        "escape": (len(escapes), len(escapes & TWINS.keys())),
        **{subject: (number, number) for subject, number in pairs.items()},
    }


def main() -> None:
    """Print the figures."""
    found = counted()
    total = tuple(map(sum, zip(*found.values(), strict=True)))
    for subject, (attacks, twins) in {**found, "all": total}.items():
        print(f"{subject:36}{attacks:5} attacks{twins:5} with a twin")


if __name__ == "__main__":
    main()
