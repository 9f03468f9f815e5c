"""Measure the checks for copies across splits: time, memory, planted copies found, false ones.

python -m bench.overlap [ROWS]     # training rows of 20 columns, 10 million by default: 2 GB in a temporary folder
"""

import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ml_intern.evidence.overlap.check import check_splits  # noqa: E402  (a script: the checkout first)

COLUMNS: Final = 20
TEST: Final = 200_000
WORDS: Final = [f"w{number}" for number in range(3000)]


def cells(rng: random.Random, pool: list[str]) -> list[str]:
    return [pool[rng.randrange(len(pool))] for _ in range(COLUMNS)]


def write_tables(folder: Path, rows: int, planted: int, jitter: float) -> None:
    """Write train.csv, and test.csv with copies of training rows moved by `jitter`."""
    rng = random.Random(0)
    pool = [f"{rng.gauss(0, 1):.4f}" for _ in range(200_000)]
    header = ",".join([*(f"x{at}" for at in range(COLUMNS)), "y"])
    copies: list[list[str]] = []
    with (folder / "train.csv").open("w") as file:
        file.write(header + "\n")
        for number in range(rows):
            row = cells(rng, pool)
            if number % max(rows // planted, 1) == 0:
                copies.append(row)
            file.write(",".join(row) + f",{number % 2}\n")
    with (folder / "test.csv").open("w") as file:
        file.write(header + "\n")
        for row in copies[:planted]:
            file.write(",".join(f"{float(one) + rng.gauss(0, jitter):.4f}" if jitter else one for one in row) + ",0\n")
        for _ in range(TEST - planted):
            file.write(",".join(cells(rng, pool)) + ",0\n")


def texts(rng: random.Random, count: int) -> Iterator[str]:
    return (" ".join(rng.choice(WORDS) for _ in range(40)) for _ in range(count))


def write_texts(folder: Path) -> None:
    rng = random.Random(1)
    train = list(texts(rng, 90_000))
    changed = [" ".join("new" if rng.random() < 0.1 else word for word in one.split()) for one in train[:200]]
    (folder / "train.txt").write_text("\n".join(train))
    (folder / "test.txt").write_text("\n".join([*changed, *texts(rng, 9_800)]))


def measured(name: str, train: Path, test: Path) -> None:
    start = time.process_time()
    found = check_splits(train, test)
    took, peak = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{name}: {took:.1f} s of CPU, {peak:.0f} MiB at most so far: {[one.message for one in found]}", flush=True)


def main() -> None:
    rows = int(sys.argv[1]) if sys.argv[1:] else 10_000_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_texts(folder)
        measured("90,000 texts, 200 with 10 % of the words changed", folder / "train.txt", folder / "test.txt")
        for planted, jitter in ((1, 0.0), (2000, 0.0), (4000, 0.01)):
            size = rows if planted == 2000 else min(rows, 1_000_000)
            write_tables(folder, size, planted, jitter)
            label = f"{size:,} rows, {planted} planted with jitter {jitter}"
            measured(label, folder / "train.csv", folder / "test.csv")


if __name__ == "__main__":
    main()
