"""Calls that make models, fit them and let them predict."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from ml_intern.evidence.code import tables
from ml_intern.evidence.code.loading import EvaluatedCall
from ml_intern.evidence.code.values import PARALLEL, SELECTORS, Fit, Model, Table, Value, merge

_BEST: Final = (
    "load_best_model_at_end",
    "early_stopping_rounds",
    "use_best_model",
    "restore_best_weights",
    "save_best_only",
)
_STOPPERS: Final = frozenset({"EarlyStopping", "EarlyStoppingCallback", "early_stopping", "ModelCheckpoint"})
_EVALUATED: Final = (
    "eval_set",
    "eval_X",
    "eval_dataset",
    "valid_sets",
    "evals",
    "validation_data",
    "X_val",
    "val_dataloaders",
)


def build(call: EvaluatedCall) -> Value | None:
    """Return the model that a call makes, or None."""
    name = call.name
    is_model = (
        tables.is_estimator(name)
        or name in tables.WRAPPERS
        or name in tables.NETWORKS
        or name in tables.SPLITTERS
        or tables.TRAINERS.match(name)
        or name in tables.SAMPLERS
        or name in _STOPPERS
        or name.endswith(("TrainingArguments", "Config"))
    )
    if not is_model or (name == "from_pretrained" and _is_no_model(call.path)):
        return None
    inner = [one for value in call.given for one in models_in(value)]
    model = Model(name, call.line, settings=dict(call.keywords), inner=inner)
    if name in ("clone", "deepcopy", "get_peft_model", "DataParallel") and inner and inner[0].model:
        model = Model(inner[0].model.name, call.line, settings=inner[0].model.settings, inner=inner[0].model.inner)
    if name == "SelectFromModel" and inner and inner[0].model and call.says("prefit", True):
        model.fits = selection(inner[0].model, name)
    return Value(thing=model)


def is_selector(model: Model) -> bool:
    """Return whether a model chooses columns."""
    return _kind(model) == "select"


def selection(model: Model, name: str) -> frozenset[Fit]:
    """Return the fits of a model as those of columns that are chosen by it."""
    return frozenset(Fit(fit.line, fit.parts, name, "select") for fit in model.fits if fit.kind in ("model", "select"))


def importances(model: Model, name: str) -> Value:
    """Return what a fitted model says about its columns."""
    return Value(fits=selection(model, f"{model.final}.{name}"))


def _is_no_model(path: str) -> bool:
    owner = path.rpartition(".")[0]
    return owner.endswith(("Tokenizer", "TokenizerFast", "Config", "Processor", "FeatureExtractor"))


def models_in(value: Value, depth: int = 0) -> list[Value]:
    """Return the models in a value, a collection or a dictionary."""
    if value.model:
        return [value]
    inner = list(value.items or ()) if depth < 3 else []
    if isinstance(value.thing, Table) and depth < 3:
        inner += value.thing.entries.values()
    return [found for one in inner for found in models_in(one, depth + 1)]


def _kind(model: Model) -> str:
    name = model.final
    if name in PARALLEL:
        members = model.named()
        return "select" if members & SELECTORS else "transform" if members & tables.SCALERS else "none"
    if name in SELECTORS:
        return "select"
    if name in tables.SCALERS:
        return "transform"
    return "none" if name in tables.HARMLESS else "model"


def fit_facts(model: Model, rows: Value, line: int) -> frozenset[Fit]:
    """Return the fits that the model has after it was fitted on these rows."""
    kind = _kind(model)
    inherited = rows.fits
    if kind == "none" or not rows.parts:
        return inherited
    name = "the model" if kind == "model" and not tables.is_estimator(model.final) else model.final
    return inherited | {Fit(line, rows.parts, name, kind)}  # type: ignore[arg-type]


def fit(call: EvaluatedCall) -> Value:
    """Evaluate `model.fit(X, y)` and its relatives."""
    receiver = call.receiver or Value()
    model = receiver.model
    if model is None:
        return Value()
    rows = _features(call)
    facts = fit_facts(model, rows, call.line)
    model.fits = model.fits | facts if call.name == "partial_fit" else facts
    call.recorder.models.setdefault(model.final, call.line)
    if _kind(model) == "model":
        call.recorder.fitted(rows)
    if model.name.endswith("SearchCV") and any(part.role == "test" for part in rows.parts):
        call.recorder.add("chosen-on-test", call.line, f"{model.name} chooses settings by rows of the test split")
    _chosen_by_stopping(call, [model])
    if call.name == "fit_resample":
        copied = replace(rows, copied=rows.copied | {call.line}) if rows.parts else rows
        targets = call.argument(1, "y") or Value()
        return Value(items=(copied, replace(targets, copied=copied.copied)))
    if call.name == "fit_transform":
        return _transformed(model, rows)
    return _predicted(call, model, rows) if call.name == "fit_predict" else receiver


def _features(call: EvaluatedCall) -> Value:
    first = call.argument(0, "X", "x", "train_data", "train_dataset", "train_dataloaders")
    return first or Value()


def _transformed(model: Model, rows: Value) -> Value:
    made = replace(rows.plain(), fits=rows.fits | model.fits)
    return made.tagged("scaled") if model.final in tables.RESCALERS else made


def restore(call: EvaluatedCall) -> Value:
    """Evaluate `scaler.inverse_transform(y)`."""
    rows = merge(call.given)
    return replace(rows, tags=rows.tags - {"scaled", "logarithm"})


def transform(call: EvaluatedCall) -> Value | None:
    """Evaluate `scaler.transform(X)`."""
    model = call.receiver.model if call.receiver else None
    return _transformed(model, merge(call.given)) if model else None


def predict(call: EvaluatedCall) -> Value | None:
    """Evaluate `model.predict(X)` and its relatives."""
    model = call.receiver.model if call.receiver else None
    if model is None:
        return None
    if tables.TRAINERS.match(model.name) and not call.args:
        return _predicted(call, model, _evaluated_rows(model))
    return _predicted(call, model, merge(call.given))


def _predicted(call: EvaluatedCall, model: Model, rows: Value) -> Value:
    hard = call.name in ("predict", "fit_predict") and tables.is_classifier(model.final)
    made = replace(rows.plain(), predicted=True, columns=frozenset(), fits=rows.fits | model.fits)
    call.recorder.models.setdefault(model.final, call.line)
    call.recorder.note_evaluated(model, rows)
    return made.tagged("hard") if hard else made


def call_model(model: Model, call: EvaluatedCall) -> Value:
    """Evaluate `network(x)`."""
    return _predicted(call, model, merge(call.given))


def train(call: EvaluatedCall) -> Value | None:
    """Evaluate `trainer.train()`, `lgb.train(params, data)` and `xgb.train(params, data)`."""
    model = call.receiver.model if call.receiver else None
    if model is None and call.path in ("lgb.train", "lightgbm.train", "xgb.train", "xgboost.train"):
        made = Model("Booster", call.line, settings=dict(call.keywords))
        rows = call.argument(1, "train_set", "dtrain") or Value()
        made.fits = fit_facts(made, rows, call.line)
        _chosen_by_stopping(call, [made])
        return Value(thing=made)
    if model is None or not tables.TRAINERS.match(model.name):
        return None
    rows = model.settings.get("train_dataset", Value())
    model.fits = fit_facts(model, rows, call.line)
    for one in model.inner:
        if one.model and not one.model.name.endswith(("Arguments", "Config")):
            one.model.fits = model.fits
    _chosen_by_stopping(call, [model])
    return Value()


def _evaluated_rows(model: Model) -> Value:
    rows = model.settings.get("eval_dataset", Value())
    return merge(rows.thing.entries.values()) if isinstance(rows.thing, Table) and not rows.parts else rows


def score(call: EvaluatedCall) -> Value | None:
    """Evaluate `model.score(X, y)` and `trainer.evaluate()`."""
    model = call.receiver.model if call.receiver else None
    if model is None:
        return None
    rows = call.args[0] if call.args else call.argument(-1, "X", "x", "eval_dataset") or _evaluated_rows(model)
    if not rows.parts:
        return Value()
    made = replace(rows.plain(), predicted=True, fits=rows.fits | model.fits)
    call.recorder.models.setdefault(model.final, call.line)
    call.recorder.note_evaluated(model, rows)
    call.recorder.evaluated(call.name, call.line, rows, made)
    return Value(fits=made.fits, scores=made.parts)


def _settings(models: list[Model], depth: int = 0) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for model in models:
        found |= model.settings
        if depth < 3:
            found |= _settings([one.model for one in model.inner if one.model], depth + 1)
    return found


def _chosen_by_stopping(call: EvaluatedCall, models: list[Model]) -> None:
    """Report that test rows decide when a fit stops or which of its states is used."""
    settings = _settings(models) | call.keywords
    if not _stops(settings, models):
        return
    for name in _EVALUATED:
        for value in _flat(settings.get(name)):
            if value.parts and all(one.role == "test" for one in value.parts):
                line = call.line
                message = (
                    f"the state of the model is chosen on the test split ({name} with early stopping or best state)"
                )
                call.recorder.add("chosen-on-test", line, message)


def _stops(settings: Mapping[str, Value], models: list[Model]) -> bool:
    if any(name in settings and settings[name].constant not in (None, False, 0) for name in _BEST):
        return True
    named = {one.model.name for value in settings.values() for one in models_in(value) if one.model}
    named |= {name for model in models for name in model.named()}
    best = [
        one
        for value in settings.values()
        for one in models_in(value)
        if one.model and one.model.name == "ModelCheckpoint"
    ]
    kept = any("save_best_only" in one.model.settings or "monitor" in one.model.settings for one in best if one.model)
    return bool(named & (_STOPPERS - {"ModelCheckpoint"})) or kept


def _flat(value: Value | None) -> list[Value]:
    """Return the feature values of an evaluation set: a pair, a list of pairs, or one set."""
    if value is None:
        return []
    if value.items:
        return [found for one in value.items for found in _flat(one)]
    if isinstance(value.thing, Table) and not value.parts:
        return list(value.thing.entries.values())
    return [value]


MODEL_CALLS: Final[Mapping[str, Callable[[EvaluatedCall], Value | None]]] = {
    **dict.fromkeys(tables.PREDICTS, predict),
    **dict.fromkeys(tables.FITS, fit),
    **dict.fromkeys(tables.SCORERS, score),
    "transform": transform,
    "inverse_transform": restore,
    "train": train,
}
