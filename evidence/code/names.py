"""The text beside a number, and whether it agrees with the rows that the number was computed on."""

import re
from collections.abc import Sequence
from typing import Final

from ml_intern.evidence.code import tables
from ml_intern.evidence.code.recorder import Recorder
from ml_intern.evidence.code.values import Value

_HELD_OUT: Final = re.compile(r"(?i)held[-_ ]?out|hold[-_ ]?out|unseen")
_JOINED: Final = re.compile(r"(?i)perplexity|\bppl|loss|bleu|accuracy|\bacc\b|\bf1|\bauc|error|rmse|\bmae\b|score|bits")
_PLACE: Final = re.compile(r"%[-+ #0]*[\d.*]*[a-zA-Z]|\{[^{}]*\}")
_CUT: Final = re.compile(r"[,;|\n]|\s{2,}|\.\s")


def on_fitted_rows(value: Value) -> bool:
    """Return whether a score was computed on the rows that its model was fitted on."""
    fitted = {part for fit in value.fits if fit.kind == "model" for part in fit.parts}
    return bool(value.scores) and all(part in fitted and part.role != "test" for part in value.scores)


def check_format(recorder: Recorder, text: str, values: Sequence[Value], line: int) -> None:
    """Check each value against the part of a format that stands before it."""
    for label, value in zip(_PLACE.split(text), values, strict=False):
        check_label(recorder, label, value, line)


def check_label(recorder: Recorder, label: str, value: Value, line: int) -> None:
    """Report a score on training rows that the script calls one on test rows."""
    last = _CUT.split(label.strip().rstrip(":= "))[-1]
    says_test = tables.role_of(last) == "test" or (_HELD_OUT.search(last) and tables.role_of(last) != "train")
    if says_test and on_fitted_rows(value):
        message = f"'{last.strip()[:60]}' is computed on the rows that the model was fitted on"
        recorder.add("train-metric-named-test", line, message, level="contradiction")
    if _JOINED.search(last) and not value.scores:
        recorder.check_fits(line, value.parts, [fit for fit in value.fits if fit.kind == "join"])
