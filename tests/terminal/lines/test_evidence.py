"""The short evidence card under an answer."""

from typing import Any

import pytest

from ml_intern.terminal.render.evidence import card_lines

CLAIM = {"text": "accuracy 0.9", "state": "held", "evidence": "command 1 printed it"}


CRASH = "command 1: a program ended early"


@pytest.mark.parametrize(
    ("incomplete", "said"),
    [
        ([], ""),
        ([CRASH], f"; incomplete: {CRASH}"),
        ([CRASH, "not reproduced"], f"; incomplete: {CRASH} (and 1 more)"),
    ],
)
def test_the_first_reason_why_evidence_is_incomplete_is_said(incomplete: list[str], said: str) -> None:
    card: dict[str, Any] = {"claims": [CLAIM], "findings": [], "locks": [], "incomplete": incomplete, "goal": None}
    assert card_lines(card)[0] == f"evidence: 1 claim checked: 1 supported{said}"
