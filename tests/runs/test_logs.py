"""Logs of any size: the end, parts by offset, lines; a progress bar is its last form, memory stays small."""

import subprocess
import sys
from pathlib import Path

from ml_intern.runs.logs import MAX_LINE, last_lines, lines, part, tail

READ_ALL = """
import resource, sys
from pathlib import Path
from ml_intern.runs.logs import lines, part, tail
from ml_intern.runs.metrics import series_of
from ml_intern.execution.process.output_sink import OutputFile

def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def output():
    yield b"x" * 5_000_000 + b"\\n"
    for _ in range(100):
        yield b"{'loss': 1.5, 'step': 7} and what else a trainer says\\n" * 100
        yield b"step 10 of 100 [====>     ]\\r" * 70_000

before, kept, raw = peak(), Path(sys.argv[1]), Path(sys.argv[2])
sink = OutputFile(kept, 1 << 40)
with raw.open("wb") as file:
    for piece in output():
        file.write(piece)
        for start in range(0, len(piece), 1 << 16):
            sink.feed(piece[start : start + (1 << 16)])
sink.close()
for log in (kept, raw):
    assert sum(1 for _ in lines(log)) > 9_000
    assert series_of(log).points["loss"]
    assert len(tail(log, 3000)) <= 3000
    at = 0
    while (read := part(log, at, 30_000)).more:
        at = read.next
print(peak() - before)
"""


def test_a_log_of_200_mb_with_a_line_of_5_million_characters_costs_under_50_mb(tmp_path: Path) -> None:
    command = [sys.executable, "-c", READ_ALL, str(tmp_path / "log.txt"), str(tmp_path / "raw.txt")]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert int(ran.stdout) < 50_000_000
    assert (tmp_path / "raw.txt").stat().st_size > 200_000_000
    assert b"\r" not in (tmp_path / "log.txt").read_bytes()[-100_000:]


def test_parts_follow_each_other_without_a_gap_and_end_at_lines(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("".join(f"line {number} äöü\n" for number in range(1000)) + "unfinished")
    text, at = "", 0
    while True:
        read = part(log, at, 300)
        text, at = text + read.text, read.next
        assert read.text.endswith("\n") or not read.text
        if not read.more or not read.text:
            break
    assert text + "unfinished" == log.read_text()
    log.write_text(log.read_text() + " no more\n")
    assert part(log, at, 300).text == "unfinished no more\n"


def test_a_line_longer_than_a_part_does_not_stop_the_reading(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("y" * 1000 + "\nend\n")
    first = part(log, 0, 300)
    assert (first.next, first.more) == (300, True)
    assert len(first.text) == 300


def test_the_end_of_a_log_is_whole_lines(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    assert last_lines(log, 2, 1000) == "line 98\nline 99\n"
    assert tail(log, 30).splitlines() == ["line 97", "line 98", "line 99"]
    assert tail(tmp_path / "none", 30) == ""


def test_lines_are_cut_and_progress_bars_collapsed(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_bytes(b"1%\r50%\r100%\r\n" + b"z" * 100_000 + b"\nlast\n" + b"\x00\xff\x1b[31mred\nopen")
    found = list(lines(log))
    assert [line.text[:5] for line in found] == ["100%", "zzzzz", "last", "\\x00�"]
    assert len(found[1].text) == MAX_LINE
    assert found[-1].end == log.stat().st_size - len(b"open")
    assert next(lines(log, found[1].end)).text == "last"
    assert [line.text for line in lines(log, found[-1].end)] == []
    assert [line.text for line in lines(log, found[-1].end, ended=True)] == ["open"]


def test_the_end_as_it_was_is_followed_by_what_was_written_since(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("one\ntwo\n")
    at = log.stat().st_size
    log.write_text("one\ntwo\nthree\n")
    assert last_lines(log, 10, 1000, until=at) + part(log, at, 1000).text == "one\ntwo\nthree\n"
