"""The names of metrics, splits and units in a label or a sentence, in one spelling."""

import re
from dataclasses import dataclass
from typing import Final

from ml_intern.text.word_table import words

_METRICS: Final = {
    "se": r"standard[ _]errors?|std[ _]?err|\bse\b|\bsem\b",
    "sd": r"standard[ _]deviations?|\bstd(?:ev)?\b|\bsd\b|\u00b1",
    "mse": r"\bmse\b|mean[ _]squared[ _]error",
    "rmse": r"\brmse\b|root[ _]mean[ _]squared?[ _]error",
    "mae": r"\bmae\b|mean[ _]absolute[ _]error",
    "mape": r"\bs?mape\b",
    "accuracy": r"accurac(?:y|ies)\b|\bacc\b|accurate\b|\b(?:are|is) (?:right|correct)\b|"
    r"correctly classified|exact[ _]match|\bem\b",
    "error": r"error[ _]rates?\b|\berrors?\b(?! bars?)|misclassif\w+",
    "f1": r"\bf1(?:[ _-]?scores?)?\b|\bf-?scores?\b|\bf1-score\b",
    "precision": r"\bprecision\b|\bppv\b",
    "recall": r"\brecall\b|sensitivity|\btpr\b",
    "specificity": r"specificity|\btnr\b",
    "auc": r"\b(?:roc[ _-]?)?auc(?:[ _-]?roc)?\b|\bauroc\b|area under the (?:roc )?curve",
    "ap": r"average[ _]precision|\bpr[ _-]?auc\b|\bauprc\b|\bm?ap(?:@\d+)?\b",
    "perplexity": r"perplexit(?:y|ies)|\bppl\b",
    "loss": r"\bloss(?:es)?\b|\bnll\b|cross[ _-]?entropy|log[ _]?loss|\bnats\b",
    "bleu": r"\b(?:sacre)?bleu(?:-?\d)?\b",
    "rouge": r"\brouge[-_ ]?\w*",
    "chrf": r"\bchrf\S*",
    "wer": r"\bwer\b|word error rate",
    "cer": r"\bcer\b|character error rate",
    "r2": r"\br2\b|\br\u00b2|r[ _-]?squared",
    "ndcg": r"\bndcg\S*",
    "mrr": r"\bmrr\b",
    "iou": r"\bm?iou\b|jaccard",
    "dice": r"\bdice\b",
    "kappa": r"\bkappa\b",
    "mcc": r"\bmcc\b|matthews\w*",
    "correlation": r"correlation|spearman\w*|pearson\w*",
    "p": r"\bp[ _-]?values?\b|\bp\b(?=\s*[<=>\u2264])",
    "reward": r"\brewards?\b|\breturns?\b(?= (?:of|is|was))",
    "score": r"\bscores?\b",
    "bpc": r"\bbp[cb]\b|bits per (?:character|byte)",
    "latency": r"latenc(?:y|ies)",
    "throughput": r"throughput|tokens/s|samples/s|it/s",
    "brier": r"\bbrier\b",
    "silhouette": r"silhouette",
    "fid": r"\bfid\b",
    "win rate": r"win[ _]rate",
    "pass": r"\bpass@\d+",
}
_ROLES: Final = {
    "baseline": r"base ?line|majority|dummy|chance|guess\w*|trivial|random (?:guess|classifier)|constant",
    "old": r"\bold\b|previous|\bformer\b|\bprior\b|\bbefore\b",
    "train": r"\btrain(?:ing)?\b(?! on\b| for\b)",
    "valid": r"\bval(?:id(?:ation)?)?\b|\bdev(?:elopment)?\b",
    "test": r"\btest\b|held[- _]?out|\bunseen\b",
    "fold": r"\bfolds?\b|cross[- _]?valid\w*|\bcv\b",
}
_MACRO: Final = re.compile(r"\b(macro|micro|weighted)\b")
_METRIC: Final = re.compile("|".join(f"(?P<m{place}>{text})" for place, text in enumerate(_METRICS.values())))
_NAMES: Final = tuple(_METRICS)
_ROLE: Final = {name: re.compile(text) for name, text in _ROLES.items()}
RATES: Final = words("accuracy error f1 precision recall specificity auc ap wer cer iou dice bleu rouge kappa mcc r2")
"""Metrics that are often given as percentages."""

ROW_NOUNS: Final = words("row example sample record item point line document")


def plain(text: str) -> str:
    """Return a text in lower case with the words of identifiers apart."""
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", " ", text)
    return re.sub(r"[_\W]*_[_\W]*", " ", text.lower().replace("r\u00b2", "r2"))


@dataclass(frozen=True)
class MetricPlace:
    """A metric in a text and where it stands."""

    metric: str
    start: int
    end: int


def metrics_in(text: str) -> list[MetricPlace]:
    """Return the metrics that a text names, in order. The text is `plain`."""
    return [
        MetricPlace(_NAMES[int((found.lastgroup or "m0")[1:])], found.start(), found.end())
        for found in _METRIC.finditer(text)
    ]


def roles_in(text: str) -> frozenset[str]:
    """Return what a text says about the model or the data of a number, such as baseline or train. It is `plain`."""
    return frozenset(name for name, pattern in _ROLE.items() if pattern.search(text))


def averaging(text: str) -> str:
    """Return macro, micro, weighted or ""."""
    found = _MACRO.search(text)
    return found[1] if found else ""
