"""Twenty typical changes each have a file where they start, and the page that lists them is right about it."""

import re

from tests.docs.pages import DOCS, ROOT

ROW = re.compile(r"^\| (?!change|---)([^|]+) \| `([^`]+)` \|$", re.MULTILINE)


def test_every_change_starts_in_a_file_that_exists() -> None:
    rows = ROW.findall((DOCS / "placement.md").read_text())
    assert len(rows) == 20
    assert [path for _, path in rows if not (ROOT / path).is_file()] == []
