"""The metrics that MLflow writes as one file per metric below `mlruns`. Its database is read in store/trackers.py."""

from collections.abc import Iterator
from pathlib import Path

FOLDER = "mlruns"


def file_metrics(path: Path) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield the steps and values of `mlruns/EXPERIMENT/RUN/metrics/NAME`; a name may have slashes. Raises ValueError.

    Each line is a time, a value and a step.
    """
    experiment = len(path.parts) - path.parts[::-1].index(FOLDER)
    below = path.parts[experiment + 3 :]
    for line in path.read_text().splitlines():
        _, value, *step = line.split()
        yield int(step[0]) if step else 0, {"/".join(below): float(value)}
