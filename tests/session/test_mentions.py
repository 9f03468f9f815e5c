"""@path in messages."""

from pathlib import Path

import pytest

from ml_intern.session.mentions import MAX_BYTES, expand_mentions


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    (folder / "data dir").mkdir(parents=True)
    (folder / "a.py").write_text("print(1)\n")
    (folder / "data dir" / "b.csv").write_text("x,y")
    (folder / "model.bin").write_bytes(b"\0\1\2")
    (folder / "large.txt").write_text("é" * MAX_BYTES)
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    return folder


@pytest.mark.parametrize("mention", ["@a.py", "look at @a.py, please", "(see\n@./a.py)", "@a.py and @a.py again?"])
def test_a_file_is_added_once(work: Path, mention: str) -> None:
    expanded = expand_mentions(mention, work)
    assert expanded.text == f'{mention}\n\n<file path="a.py">\nprint(1)\n</file>'
    assert expanded.notes == ("added a.py",)


@pytest.mark.parametrize(
    "text", ["me@a.py", "@nobody", "@property", "@", "user@host:/a.py", '@""', "@a\0b", "@" + "x" * 999]
)
def test_what_names_no_file_stays_a_word(work: Path, text: str) -> None:
    assert expand_mentions(text, work).text == text


def test_quotes_allow_spaces(work: Path) -> None:
    assert '<file path="data dir/b.csv">\nx,y\n</file>' in expand_mentions('@"data dir/b.csv"', work).text


def test_a_folder_is_its_names(work: Path) -> None:
    assert '<folder path=".">' in expand_mentions("@.", work).text
    assert "data dir/\n" in expand_mentions("@.", work).text


@pytest.mark.parametrize("path", ["../secret.txt", "link.txt"])
def test_nothing_outside_the_folder_is_added_unless_it_was_allowed(work: Path, path: str) -> None:
    refused = expand_mentions(f"@{path}", work)
    assert "secret\n" not in refused.text
    assert "outside" in refused.notes[0]
    assert "\nsecret\n" in expand_mentions(f"@{path}", work, [str(work.parent)]).text


def test_an_image_that_is_named_by_its_whole_path_is_added_from_anywhere(work: Path) -> None:
    image = work.parent / "a b.png"
    image.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20))
    dropped = expand_mentions(f'@"{image}" what is wrong?', work)
    assert dropped.notes == (f"added the image {image}",)
    assert len(dropped.images) == 1
    assert not expand_mentions('@"../a b.png"', work).images
    (work.parent / "secret.png").write_text("secret")
    assert "outside" in expand_mentions(f"@{work.parent}/secret.png", work).notes[0]


def test_binary_and_large_files_are_not_poured_in(work: Path) -> None:
    assert "(binary, 3 bytes)" in expand_mentions("@model.bin", work).text
    large = expand_mentions("@large.txt", work)
    assert len(large.text.encode()) < MAX_BYTES + 300
    assert f"the first {MAX_BYTES} of {2 * MAX_BYTES} bytes" in large.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("see @gone.py, please", True), ("see @data/gone", True), ('see @"a file"', True), ("ask @anna", False),
        ("@pytest.fixture", False), ("mail me@home.py", False),
    ],
)  # fmt: skip
def test_a_path_that_does_not_exist_is_noted(text: str, said: bool, tmp_path: Path) -> None:  # noqa: FBT001
    found = expand_mentions(text, tmp_path)
    assert found.text == text
    assert ["nothing was added" in note for note in found.notes] == [True] * said
