"""How often faults are played: some normally, all by `make faults`, more by TESTS_SOAK. Seeds are printed."""

import os
import secrets
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

SOAK = int(os.environ.get("TESTS_SOAK", "0"))
"""Real processes that are killed, and races, when soaking; 0 is the normal run."""
EVERY_FAULT = bool(SOAK or os.environ.get("TESTS_EVERY_FAULT"))
"""Nothing is left out: `make faults` asks for it. The normal run is to end within minutes."""
EACH = 1 if EVERY_FAULT else 6
"""One fault of so many is played where they are a row: the statements, the commits of a thread."""
PROCESSES = SOAK or 40
FEWER = PROCESSES if EVERY_FAULT else 16
"""The same, where it takes longest."""
SEED = os.environ.get("TESTS_FAULT_SEED") or (secrets.token_hex(4) if SOAK else "1")
"""A soak draws a new one each time; the run that failed is repeated by giving its own."""
PROPERTY = "faults"

Report = Callable[[str, object], None]
"""pytest's record_property; what is recorded as `faults` stands in the summary of the run."""


def some(cases: Sequence[T]) -> Sequence[T]:
    """All cases where nothing is left out, else every third."""
    return cases if EVERY_FAULT else cases[::3]
