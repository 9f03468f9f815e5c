"""The predictions and models that a script saves: labels among predictions, and models that are not evaluated."""

import re
from collections.abc import Iterator
from typing import Final

from ml_intern.evidence.code.fitting import models_in
from ml_intern.evidence.code.loading import EvaluatedCall
from ml_intern.evidence.code.recorder import Recorder
from ml_intern.evidence.code.values import UNSET, Model, RowSet

_PREDICTIONS: Final = re.compile(r"(?i)pred|submission|y_hat")


def check_saved(call: EvaluatedCall) -> None:
    """Report predictions that are saved with labels of the same rows among them."""
    named = any(_PREDICTIONS.search(one.text) for one in call.given)
    receiver = [call.receiver] if call.receiver is not None else []
    for one in [*receiver, *call.args]:
        on_test = bool(one.parts) and all(part.role == "test" for part in one.parts)
        simple = one.items is None and one.thing is None and not one.errors and not one.scores
        if simple and on_test and len(one.columns) == 1 and (one.predicted or named):
            message = "the saved predictions contain the labels of the rows that they are for"
            call.recorder.add("labels-in-predictions", call.line, message, level="contradiction")
        if on_test and one.predicted:
            fits = [fit for fit in one.fits if fit.kind == "model"]
            call.recorder.check_fits(call.line, one.parts, fits)


def note_saved(call: EvaluatedCall) -> None:
    """Record the models that a call saves."""
    receiver = [call.receiver] if call.receiver is not None else []
    for one in (*receiver, *call.args):
        call.recorder.saved += [(found.model, call.line) for found in models_in(one) if found.model]


def check_models(recorder: Recorder) -> None:
    """Report a saved model that is not evaluated, if the script evaluates another one on test rows instead."""
    known = {id(one) for model in recorder.evaluated_models for one in _family(model)}
    for model, line in recorder.saved:
        others = [one for one in recorder.evaluated_models if _rows(one)]
        if not _rows(model) or known & {id(one) for one in _family(model)} or not others:
            continue
        if all(_is_other(model, one) for one in others):
            other = others[-1]
            instead = f"the evaluated {other.final} is made at line {other.line}"
            message = f"the {model.final} that is saved is not evaluated; {instead}"
            recorder.add("saved-model-not-evaluated", line, message)


def _family(model: Model) -> Iterator[Model]:
    yield model
    for one in model.inner:
        if one.model and one.model is not model:
            yield from _family(one.model)


def _rows(model: Model) -> frozenset[RowSet]:
    """Return the rows that a model was fitted on; none for a transformer."""
    return frozenset(part for fit in model.fits if fit.kind == "model" for part in fit.parts)


def _is_other(saved: Model, evaluated: Model) -> bool:
    """Return whether a saved model is another one than the evaluated one fitted once more, on the same or more rows."""
    rows, known = _rows(saved), _rows(evaluated)
    if not all(any(other.holds(one) for other in known) for one in rows):
        return False
    if rows != known:
        return True
    settings, others = saved.settings, evaluated.settings
    constant = all(one.constant is not UNSET for one in (*settings.values(), *others.values()))
    same = settings.keys() == others.keys() and all(
        one.constant == others[name].constant for name, one in settings.items()
    )
    return saved.line != evaluated.line and constant and (saved.final != evaluated.final or not same)
