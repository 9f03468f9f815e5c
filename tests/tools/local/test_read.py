"""The read tool reads any text file in parts, and explains why it cannot read anything else."""

import os
from pathlib import Path

import pytest

from tests.execution.conftest import Bench


async def test_lines_are_numbered(bench: Bench) -> None:
    bench.file("a.py", "one\n\n  three\n")
    assert (await bench.run("read", path="a.py")).text == "     1\tone\n     2\t\n     3\t  three"


async def test_a_part_names_the_next_offset(bench: Bench) -> None:
    bench.file("a", "".join(f"{n}\n" for n in range(1, 1_001)))
    result = await bench.run("read", path="a", offset=10, limit=2)
    assert result.text == "    10\t10\n    11\t11\n[lines 10 to 11 of 1,000; continue with offset 12]"


async def test_a_negative_offset_counts_from_the_end(bench: Bench) -> None:
    bench.file("a", "".join(f"{n}\n" for n in range(1, 1_001)))
    assert (await bench.run("read", path="a", offset=-2)).text == "   999\t999\n  1000\t1000"
    assert (await bench.run("read", path="a", offset=-5_000, limit=1)).text.startswith("     1\t1\n")


@pytest.mark.parametrize(("content", "shown"), [("a\nb", "     2\tb"), ("a\nb\n", "     2\tb"), ("a\n\n", "     2\t")])
async def test_the_last_line_counts_with_and_without_its_newline(bench: Bench, content: str, shown: str) -> None:
    bench.file("a", content)
    assert (await bench.run("read", path="a", offset=2)).text == shown
    assert "has 2 lines; offset 3 is past the end" in (await bench.run("read", path="a", offset=3)).text


async def test_an_empty_file_is_reported(bench: Bench) -> None:
    bench.file("a", "")
    assert (await bench.run("read", path="a")).text == "a is empty"


async def test_a_long_file_stays_within_a_result(bench: Bench) -> None:
    bench.file("a", "".join(f"{'x' * 90} {n}\n" for n in range(1, 5_001)))
    first = await bench.run("read", path="a")
    assert len(first.text) < 20_000
    assert first.artifact is None
    following = int(first.text.rpartition("offset ")[2].rstrip("]"))
    second = await bench.run("read", path="a", offset=following)
    assert f"x {following}\n" in second.text


async def test_a_line_of_five_million_characters_is_cut(bench: Bench) -> None:
    bench.file("a", f"{'x' * 5_000_000}\nnext\n")
    result = await bench.run("read", path="a")
    assert len(result.text) < 3_000
    assert "[... 4,998,000 more bytes]\n     2\tnext" in result.text


async def test_a_file_of_many_megabytes_is_read_in_parts(bench: Bench) -> None:
    with (bench.workspace / "big").open("wb") as file:
        file.write(b"x" * 10_000 + b"\n")
        file.seek(200_000_000)
        file.write(b"\nlast\n")
    assert (await bench.run("read", path="big", offset=-1)).text == "     3\tlast"


async def test_windows_line_endings_are_noted_and_not_shown(bench: Bench) -> None:
    bench.file("a", "one\r\ntwo\r\n")
    assert (await bench.run("read", path="a")).text == "     1\tone\n     2\ttwo\n[lines end in CRLF]"


async def test_bytes_that_are_not_utf8_are_replaced_and_noted(bench: Bench) -> None:
    bench.file("a", b"caf\xe9\n")
    assert (await bench.run("read", path="a")).text.startswith("     1\tcaf\ufffd\n[not valid UTF-8")


async def test_hidden_characters_are_escaped_and_letters_of_all_scripts_are_preserved(bench: Bench) -> None:
    bench.file("a", "esc\x1b[31m bidi\u202e tag\U000e0041\n日本\u3000語 अ\u200cब\n")
    text = (await bench.run("read", path="a")).text
    assert text == "     1\tesc\\x1b[31m bidi\\u202e tag\\U000e0041\n     2\t日本\u3000語 अ\u200cब"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"%PDF-1.7", "a PDF document"),
        (b"PAR1abc", "a parquet file"),
        ("\ufeffwide".encode("utf-16-le"), "UTF-16 text"),
        (b"abc\0def", "unknown binary data"),
    ],
)
async def test_binary_files_are_reported_with_their_kind(bench: Bench, content: bytes, kind: str) -> None:
    bench.file("a", content)
    result = await bench.run("read", path="a")
    assert not result.ok
    assert f"a is binary, {len(content)} bytes: {kind}" in result.text


async def test_a_missing_file_is_answered_with_similar_names(bench: Bench) -> None:
    bench.file("train.py", "")
    result = await bench.run("read", path="trian.py")
    assert result.text == "error: there is no file trian.py; similar names: train.py"


async def test_a_folder_is_listed(bench: Bench) -> None:
    bench.file("src/a.py", "12345")
    bench.file("src/sub/b.py", "")
    assert (await bench.run("read", path="src")).text == "src is a folder; 2 entries:\nsub/\na.py  5 bytes"


async def test_a_pipe_is_refused_without_waiting(bench: Bench) -> None:
    os.mkfifo(bench.workspace / "pipe")
    assert "pipe is not a regular file" in (await bench.run("read", path="pipe")).text


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "link/passwd", "~/notes.txt", "file-link"])
async def test_paths_that_lead_out_of_the_workspace_are_refused_with_the_remedy(bench: Bench, path: str) -> None:
    (bench.workspace / "link").symlink_to("/etc")
    (bench.workspace / "file-link").symlink_to("/etc/passwd")
    result = await bench.run("read", path=path)
    assert "path outside the workspace" in result.text
    assert "--add-dir" in result.text


@pytest.mark.parametrize(("path", "expected"), [(" ", "the path is empty"), ("a\0b", "invalid path")])
async def test_invalid_paths_are_reported(bench: Bench, path: str, expected: str) -> None:
    assert expected in (await bench.run("read", path=path)).text


async def test_a_name_that_is_too_long_fails_with_one_line(bench: Bench) -> None:
    assert "File name too long" in (await bench.run("read", path="x" * 5_000)).text


async def test_added_folders_can_be_read(bench: Bench, tmp_path: Path) -> None:
    from ml_intern.execution.run import run_call

    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a").write_text("there\n")
    call = bench.call("read", {"path": str(tmp_path / "more" / "a")})
    assert "there" in (await run_call(call, bench.context(add_dirs=(tmp_path / "more",)))).text


async def test_ml_interns_files_stay_closed_even_within_the_workspace(bench: Bench) -> None:
    from ml_intern.execution.run import run_call

    call = bench.call("read", {"path": str(bench.store.home / "threads.db")})
    result = await run_call(call, bench.context(add_dirs=(bench.store.home.parent,)))
    assert "belongs to ml-intern itself" in result.text


async def test_reading_records_the_file_as_read(bench: Bench) -> None:
    path = bench.file("a", "one\n")
    await bench.run("read", path="a")
    assert list(bench.file_reads) == [str(path)]
