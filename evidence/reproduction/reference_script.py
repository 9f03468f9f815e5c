"""Compute metrics of a model or of predictions on a table with labels, or BLEU and WER of texts. It runs alone, in the
user's environment, with its Python: scikit-learn for tables, nothing but the standard library for texts.

Arguments: the model, the predictions or the hypotheses, and the table or the references. It prints one metric per line,
then the rows, and `exact 1` if the table has exactly the columns that the model was fitted with and one more. For a
model it also prints its class, and as JSON the columns that it gets.
"""

import csv
import importlib
import json
import math
import re
import sys
from collections import Counter
from typing import Any

LABELS = ("label", "labels", "target", "y", "class")
IDS = ("id", "ID", "Id", "index", "row_id")


def main(artifact: str, table: str) -> None:
    """Print the metrics."""
    scores, exact = None, True
    if artifact.endswith(".txt"):
        truth, predicted = _lines(table), _lines(artifact)
        found = _of_texts(truth, predicted)
    else:
        data = LabelledTable(table)
        if artifact.endswith((".csv", ".tsv")):
            truth, predicted = _joined(LabelledTable(artifact), data)
        else:
            model = _loaded(artifact)
            columns, label, exact = _columns(model, data)
            truth, predicted, scores = _predicted(model, data, columns, label)
            print(f"model {type(model).__name__}\ncolumns {json.dumps(columns)}")
        found = _metrics(list(truth), list(predicted), scores)
    for name, value in found:
        print(f"{name} {value:.6f}")
    print(f"n {len(truth)}\nexact {int(exact)}")


def _module(name: str, package: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        sys.exit(f"not possible: {package} is not in the environment")


class LabelledTable:
    """A table: as pandas reads it, or as text with numbers where pandas is missing."""

    def __init__(self, path: str) -> None:
        try:
            pandas = importlib.import_module("pandas")
        except ImportError:
            self.frame: Any = None
            self.columns = _plain(path)
            return
        separator = "\t" if path.endswith(".tsv") else ","
        self.frame = pandas.read_parquet(path) if path.endswith(".parquet") else pandas.read_csv(path, sep=separator)
        self.columns = {str(name): list(self.frame[name]) for name in self.frame.columns}

    def features(self, names: list[str]) -> Any:
        """Return columns for a model that was fitted without names."""
        if self.frame is not None:
            return self.frame[names].to_numpy()
        return _module("numpy", "numpy").array(list(zip(*(self.columns[name] for name in names), strict=True)))


def _plain(path: str) -> dict[str, list[Any]]:
    if path.endswith(".parquet"):
        sys.exit("not possible: pandas is not in the environment")
    with open(path, encoding="utf-8", newline="") as file:  # noqa: PTH123
        head, *rows = [row for row in csv.reader(file, delimiter="\t" if path.endswith(".tsv") else ",") if row]
    return {name: _typed([row[place] for row in rows]) for place, name in enumerate(head)}


def _typed(texts: list[str]) -> list[Any]:
    for kind in (int, float):
        try:
            return [kind(one) if one or kind is int else math.nan for one in texts]
        except ValueError:
            continue
    return list(texts)


def _loaded(path: str) -> Any:
    if not path.endswith(".joblib"):
        pickle = _module("pickle", "pickle")
        with open(path, "rb") as file:  # noqa: PTH123
            return pickle.load(file)
    return _module("joblib", "joblib").load(path)


def _columns(model: Any, data: LabelledTable) -> tuple[list[str], str, bool]:
    """Return the columns that a model gets, the one of the label, and whether both are as in its fit."""
    if not hasattr(model, "predict"):
        sys.exit(f"not possible: the artifact is a {type(model).__name__} without predict")
    fitted = [str(name) for name in getattr(model, "feature_names_in_", ())]
    rest = [name for name in data.columns if name not in fitted]
    if fitted and len(rest) == 1 and len(fitted) + 1 == len(data.columns):
        return fitted, rest[0], True
    label = next((name for name in LABELS if name in rest), "" if fitted else rest[-1])
    if not label:
        sys.exit("not possible: it is unclear which column of the table is the label")
    features = fitted or [name for name in data.columns if name != label]
    count = getattr(model, "n_features_in_", len(features))
    if count != len(features):
        has = f"the table has {len(features)} beside the label"
        sys.exit(f"not possible: the model was fitted on {count} columns without names, and {has}")
    return features, label, False


def _predicted(model: Any, data: LabelledTable, columns: list[str], label: str) -> tuple[Any, Any, Any]:
    named = data.frame is not None and hasattr(model, "feature_names_in_")
    features = data.frame[columns] if named else data.features(columns)
    proba = getattr(model, "predict_proba", None)
    scores = proba(features)[:, 1] if proba is not None and len(getattr(model, "classes_", ())) == 2 else None
    return data.columns[label], model.predict(features), scores


def _joined(predictions: LabelledTable, data: LabelledTable) -> tuple[list[Any], list[Any]]:
    key = next((name for name in IDS if name in predictions.columns and name in data.columns), None)
    given = [name for name in predictions.columns if name != key]
    label = next((name for name in (*given, *LABELS) if name in data.columns and name != key), None)
    if label is None or len(given) != 1:
        sys.exit("not possible: the predictions need the columns id and label")
    truth, made = data.columns[label], predictions.columns[given[0]]
    if key is None:
        if len(made) != len(truth):
            sys.exit("not possible: the predictions have no id and another number of rows than the table")
        return truth, made
    known = dict(zip(predictions.columns[key], made, strict=True))
    both = [(one, known[row]) for row, one in zip(data.columns[key], truth, strict=True) if row in known]
    if len(both) != len(truth):
        sys.exit(f"not possible: {len(both)} of {len(truth)} rows of the table have a prediction")
    return [one for one, _ in both], [one for _, one in both]


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


def _lines(path: str) -> list[str]:
    with open(path, encoding="utf-8") as file:  # noqa: PTH123
        return file.read().splitlines()


def _of_texts(references: list[str], hypotheses: list[str]) -> list[tuple[str, float]]:
    """Return corpus BLEU of words with the brevity penalty, as sacreBLEU computes it, and the word error rate."""
    if len(references) != len(hypotheses):
        sys.exit(f"not possible: {len(hypotheses)} hypotheses for {len(references)} references")
    pairs = [(_words(one), _words(other)) for one, other in zip(references, hypotheses, strict=True)]
    return [("bleu", _bleu(pairs)), ("wer", _word_errors(list(zip(references, hypotheses, strict=True))))]


def _words(line: str) -> list[str]:
    """Return the words and marks of a line, apart as mteval-v13a puts them."""
    line = re.sub(r"([\{-\~\[-\` -\&\(-\+\:-\@\/])", r" \1 ", f" {line} ")
    line = re.sub(r"([^0-9])([\.,])", r"\1 \2 ", line)
    line = re.sub(r"([\.,])([^0-9])", r" \1 \2", line)
    return re.sub(r"([0-9])(-)", r"\1 \2 ", line).split()


def _bleu(pairs: list[tuple[list[str], list[str]]]) -> float:
    logarithm, smooth = 0.0, 1.0
    for size in range(1, 5):
        right = total = 0
        for reference, made in pairs:
            known, given = _grams(reference, size), _grams(made, size)
            right, total = right + sum((known & given).values()), total + sum(given.values())
        if not total:
            return 0.0
        smooth = smooth if right else smooth * 2
        logarithm += math.log((right or 1 / smooth) / total) / 4
    lengths = [sum(len(pair[place]) for pair in pairs) for place in (0, 1)]
    return math.exp(logarithm + min(0.0, 1 - lengths[0] / lengths[1]))


def _grams(line: list[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(line[at : at + size]) for at in range(len(line) - size + 1))


def _word_errors(pairs: list[tuple[str, str]]) -> float:
    split = [(reference.split(), made.split()) for reference, made in pairs]
    return sum(_distance(*pair) for pair in split) / max(1, sum(len(reference) for reference, _ in split))


def _distance(reference: list[str], made: list[str]) -> int:
    before = list(range(len(made) + 1))
    for at, word in enumerate(reference, 1):
        row = [at]
        for place, other in enumerate(made, 1):
            row.append(min(row[-1] + 1, before[place] + 1, before[place - 1] + (word != other)))
        before = row
    return before[-1]


if __name__ == "__main__":
    main(*sys.argv[1:3])
