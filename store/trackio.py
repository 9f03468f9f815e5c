"""Read-only access to the databases of trackio, Hugging Face's experiment tracker."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any


def logged_rows(folder: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the step and the values of each row, project by project; nothing if there are no databases."""
    for path in sorted(folder.glob("*.db")) if folder.is_dir() else ():
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
                for step, text in connection.execute("SELECT step, metrics FROM metrics ORDER BY id"):
                    value = json.loads(text)
                    if isinstance(value, dict):
                        yield step, value
        except (sqlite3.DatabaseError, OSError, ValueError):  # incomplete, or from another program
            continue
