"""What is shown and saved of a command's output while it runs."""

from pathlib import Path

from ml_intern.execution.process.output_sink import OutputFile, OutputLog


def test_an_unfinished_line_is_shown_when_it_changed_and_finished_text_comes_first() -> None:
    shown = list[str]()
    log = OutputLog(shown.append)
    log.flush("10 %")
    log.flush("10 %")
    log.flush("")
    log.flush("20 %")
    log.add("done\n")
    log.flush("30 %")
    log.flush("30 %")
    assert shown == ["10 %\r", "20 %\r", "done\n", "30 %\r"]


def test_a_command_may_write_its_whole_share(tmp_path: Path) -> None:
    file = OutputFile(tmp_path / "out" / "log", max_bytes=3)
    file.feed(b"ab")
    assert not file.full
    file.feed(b"cd")
    assert file.full
    file.close()
    assert (tmp_path / "out" / "log").read_text() == "abc"
