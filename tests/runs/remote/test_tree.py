"""The files that are delivered to another machine."""

import hashlib
from pathlib import Path

from ml_intern.runs.remote.tree import read_tree


def test_a_large_file_is_delivered_by_its_content(tmp_path: Path) -> None:
    with (tmp_path / "weights.bin").open("wb") as file:
        file.truncate(65 << 20)
    found = hashlib.sha256(bytes(65 << 20)).hexdigest()
    assert [one.digest for one in read_tree(tmp_path).files] == [found]
