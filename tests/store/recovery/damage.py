"""Ways to damage a database file."""

import random
from pathlib import Path

from ml_intern.store.sqlite.database import PAGE_BYTES


def overwrite_pages(path: Path, every: int, first: int = 4, last: int | None = None, seed: int = 1) -> int:
    """Overwrite one page in every so many with random bytes. Return the number of pages."""
    dice = random.Random(seed)
    pages = path.stat().st_size // PAGE_BYTES
    damaged = [page for page in range(first, pages if last is None else last) if dice.randrange(every) == 0]
    with path.open("r+b") as file:
        for page in damaged:
            file.seek(page * PAGE_BYTES)
            file.write(dice.randbytes(PAGE_BYTES))
    return len(damaged)
