"""Compare experiments: differing settings and ranking by a metric. Pure."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ml_intern.configs.errors import UsageError
from ml_intern.runs.naming import short
from ml_intern.store.experiments import ExperimentRow
from ml_intern.text.formatting import money

_LOWER: Final = re.compile(
    r"(?i)(?:^|[_/ .-])(?:loss|perplexity|ppl|error|err|wer|cer|mae|mse|rmse|fid|bpb|nll|latency|seconds|runtime|cost)"
    r"(?:$|[_/ .-])"
)
_HIGHER: Final = re.compile(
    r"(?i)(?:^|[_/ .@-])(?:acc|accuracy|f1|auc|auroc|bleu|rouge\w*|precision|recall|map|ndcg|mrr|score|reward\w*|em|r2|"
    r"pass|win|exact_match|correlation|spearman|pearson|kappa|mcc|iou|throughput)(?:$|[_/ .@-]|\d)"
)
_HIDDEN: Final = ("shape",)


def number(value: float) -> str:
    """Format a metric for lists."""
    return f"{value:.6g}"


def price(row: ExperimentRow) -> str:
    """Format the cost of an experiment."""
    return "?" if row.cost_usd is None else money(row.cost_usd)


def settings(row: ExperimentRow) -> dict[str, Any]:
    """Return the settings of an experiment: its configuration, seed, commit, script and data."""
    config = {name: value for name, value in json.loads(row.config).items() if name not in _HIDDEN}
    data: Mapping[str, str] = json.loads(row.split_hashes)
    return {
        **config,
        "seed": row.seed,
        "commit": row.git_commit[:12],
        "script": row.script_sha256[:12],
        "data": row.data_revision[:12],
        **{f"sha256 of {name}": value[:12] for name, value in data.items()},
    }


def differing(rows: Sequence[ExperimentRow]) -> dict[str, list[Any]]:
    """Return the settings that differ, with one value per experiment; None where a setting is missing."""
    all_settings = [settings(row) for row in rows]
    names = dict.fromkeys(name for one in all_settings for name in one)
    values = {name: [one.get(name) for one in all_settings] for name in names}
    return {name: found for name, found in values.items() if any(one != found[0] for one in found)}


def side_by_side(rows: Sequence[ExperimentRow]) -> list[list[str]]:
    """Return a table with one column per experiment: name, metrics, cost, then the differing settings."""
    metrics = dict.fromkeys(name for row in rows for name in row.values)
    lines = [["", *(short(row.id) for row in rows)], ["name", *(row.name for row in rows)]]
    lines += [[name, *(number(row.values[name]) if name in row.values else "-" for row in rows)] for name in metrics]
    lines.append(["cost", *map(price, rows)])
    lines.append(["parent", *(short(row.parent or "-") for row in rows)])
    return lines + [[name, *map(_shown, found)] for name, found in differing(rows).items()]


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "-" if value is None else text[:60] or "-"


def summary(row: ExperimentRow) -> str:
    """Format the metrics of an experiment in one line."""
    return ", ".join(f"{name} {number(value)}" for name, value in row.values.items()) or "no metrics"


def higher_is_better(metric: str) -> bool | None:
    """Whether a higher value of the metric is better, judged by its name; None when unknown."""
    lower, higher = _LOWER.search(metric), _HIGHER.search(metric)
    return None if bool(lower) == bool(higher) else higher is not None


def ranked(rows: Sequence[ExperimentRow], metric: str, *, higher: bool | None) -> list[ExperimentRow]:
    """Return the experiments that have a metric, best first. With `higher` None the metric's name decides.

    Raises:
        UsageError: no experiment has the metric, or its name does not show whether higher is better.
    """
    having = [row for row in rows if metric in row.values]
    if not having:
        names = ", ".join(dict.fromkeys(name for row in rows for name in row.values)) or "none"
        raise UsageError(f"no experiment has the metric {metric!r}", f"available metrics: {names}")
    better = higher_is_better(metric) if higher is None else higher
    if better is None:
        raise UsageError(f"unknown whether higher or lower {metric} is better", "specify the direction")
    return sorted(having, key=lambda row: row.values[metric], reverse=better)
