"""The digests in the evidence of a call."""

from pathlib import Path

from ml_intern.execution.recording.call_evidence import digests
from ml_intern.text.digests import file_digest


def test_a_file_that_cannot_be_read_has_no_digest_and_the_others_have_theirs(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    missing, too_long = str(tmp_path / "b"), str(tmp_path / ("n" * 5_000))
    found = digests([str(tmp_path / "a"), missing, too_long])
    assert found == {str(tmp_path / "a"): file_digest(tmp_path / "a"), missing: "", too_long: ""}
