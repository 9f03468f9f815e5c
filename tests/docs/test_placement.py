"""Twenty typical changes each have a file where they start, and the page that lists them is right about it."""

import re

from tests.docs.pages import DOCS, ROOT

ROW = re.compile(r"^\| (?!change|---)([^|]+) \| `([^`]+)` \| (?:`(\w+)`|the whole file) \|$", re.MULTILINE)


def test_every_change_starts_in_a_file_that_exists_at_a_name_that_is_there() -> None:
    rows = ROW.findall((DOCS / "placement.md").read_text())
    assert len(rows) == 20
    assert [path for _, path, _ in rows if not (ROOT / path).is_file()] == []
    assert [(path, name) for _, path, name in rows if not re.search(rf"\b{name}\b", (ROOT / path).read_text())] == []
