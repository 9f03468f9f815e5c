"""The size that an answer states for a file is compared with the file."""

from pathlib import Path

import pytest

from ml_intern.evidence.checks.prose.sizes import size_claims
from ml_intern.evidence.observations import Observations

SIZE = 12_345_678


@pytest.mark.parametrize(
    ("answer", "states"),
    [
        ("The weights are in model.pt (12.3 MB).", ["held"]),
        ("The weights are in model.pt (11.8 MiB).", ["held"]),
        ("`model.pt` is 12 MB.", ["held"]),
        ("model.pt: 12,345,678 bytes", ["held"]),
        ("model.pt takes about 13 MB.", ["held"]),
        ("The 12 MB file model.pt is ready.", ["held"]),
        ("The folder out/ (1.0 kB) holds the plots.", ["held"]),
        ("The weights are in model.pt (3.1 MB).", ["contradicted"]),
        ("`model.pt` is only 2 MB.", ["contradicted"]),
        ("model.pt: 12,345,679 bytes", ["contradicted"]),
        ("| model.pt | 45 MB |", ["contradicted"]),
        ("The 4 MB model.pt is ready.", ["contradicted"]),
        ("Training needed 45 MB of memory; model.pt is saved.", []),
        ("model.pt was 45 MB before pruning.", []),
        ("model.pt, 45 MB smaller than the old one", []),
        ("gone.pt is 45 MB.", []),
        ("model.pt has 45 layers.", []),
    ],
)
def test_a_stated_size_is_that_of_the_file(answer: str, states: list[str], tmp_path: Path) -> None:
    with (tmp_path / "model.pt").open("wb") as model:
        model.truncate(SIZE)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/plot.svg").write_bytes(b"x" * 1024)
    seen = Observations(tmp_path, (tmp_path,), "", ())
    assert [one.state for one in size_claims(answer, seen)] == states
