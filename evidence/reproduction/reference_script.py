"""Compute metrics of a model or of predictions on a table with labels. It runs alone, in the user's environment.

Arguments: the model or the predictions, and the table. It prints one metric per line, then the rows, and `exact 1` if
the table has exactly the columns that the model was fitted with and one more.
"""

import importlib
import math
import sys
from typing import Any

LABELS = ("label", "labels", "target", "y", "class")
IDS = ("id", "ID", "Id", "index", "row_id")


def main(artifact: str, table: str) -> None:
    """Print the metrics."""
    data = _read(table)
    if artifact.endswith((".csv", ".tsv")):
        truth, predicted = _joined(_read(artifact), data)
        scores, exact = None, True
    else:
        truth, predicted, scores, exact = _predicted(_loaded(artifact), data)
    for name, value in _metrics(list(truth), list(predicted), scores):
        print(f"{name} {value:.6f}")
    print(f"n {len(truth)}\nexact {int(exact)}")


def _module(name: str, package: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        sys.exit(f"not possible: {package} is not in the environment")


def _read(path: str) -> Any:
    pandas = _module("pandas", "pandas")
    if path.endswith(".parquet"):
        return pandas.read_parquet(path)
    return pandas.read_csv(path, sep="\t" if path.endswith(".tsv") else ",")


def _loaded(path: str) -> Any:
    if not path.endswith(".joblib"):
        pickle = _module("pickle", "pickle")
        with open(path, "rb") as file:  # noqa: PTH123
            return pickle.load(file)
    return _module("joblib", "joblib").load(path)


def _predicted(model: Any, data: Any) -> tuple[Any, Any, Any, bool]:
    if not hasattr(model, "predict"):
        sys.exit(f"not possible: the artifact is a {type(model).__name__} without predict")
    fitted = [str(name) for name in getattr(model, "feature_names_in_", ())]
    rest = [name for name in data.columns if name not in fitted]
    exact = bool(fitted) and len(rest) == 1 and len(fitted) + 1 == len(data.columns)
    label = rest[0] if exact else next((name for name in LABELS if name in rest), None)
    if label is None:
        sys.exit("not possible: it is unclear which column of the table is the label")
    features = data[fitted] if fitted else data.drop(columns=label).to_numpy()
    proba = getattr(model, "predict_proba", None)
    scores = proba(features)[:, 1] if proba is not None and len(getattr(model, "classes_", ())) == 2 else None
    return data[label], model.predict(features), scores, exact


def _joined(predictions: Any, data: Any) -> tuple[Any, Any]:
    key = next((name for name in IDS if name in predictions.columns and name in data.columns), None)
    given = [name for name in predictions.columns if name != key]
    label = next((name for name in (*given, *LABELS) if name in data.columns and name != key), None)
    if label is None or len(given) != 1:
        sys.exit("not possible: the predictions need the columns id and label")
    if key is None:
        if len(predictions) != len(data):
            sys.exit("not possible: the predictions have no id and another number of rows than the table")
        return data[label], predictions[given[0]]
    both = data[[key, label]].merge(predictions.rename(columns={given[0]: "predicted"}), on=key)
    if len(both) != len(data):
        sys.exit(f"not possible: {len(both)} of {len(data)} rows of the table have a prediction")
    return both[label], both["predicted"]


def _metrics(truth: list[Any], predicted: list[Any], scores: Any) -> list[tuple[str, float]]:
    metrics = _module("sklearn.metrics", "scikit-learn")
    numbers = all(isinstance(one, float) and not float(one).is_integer() for one in predicted[:50])
    if numbers:
        mse = float(metrics.mean_squared_error(truth, predicted))
        mae = float(metrics.mean_absolute_error(truth, predicted))
        return [("mae", mae), ("mse", mse), ("rmse", math.sqrt(mse)), ("r2", float(metrics.r2_score(truth, predicted)))]
    found = [("accuracy", float(metrics.accuracy_score(truth, predicted)))]
    for average in ("macro", "weighted", *(["binary"] if sorted(set(truth)) == [0, 1] else [])):
        words = "" if average == "binary" else f"{average} "
        options = {"average": average, "zero_division": 0}
        for name, score in (
            ("f1", metrics.f1_score),
            ("precision", metrics.precision_score),
            ("recall", metrics.recall_score),
        ):
            found.append((f"{words}{name}", float(score(truth, predicted, **options))))
    if scores is not None:
        found.append(("auc", float(metrics.roc_auc_score(truth, scores))))
    return found


if __name__ == "__main__":
    main(*sys.argv[1:3])
