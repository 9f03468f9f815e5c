"""Files of a working folder on their way to a real sshd of this machine: by rsync, or in ssh's stream."""

import json
import os
import random
import re
import shutil
import sys
import time
import zipfile
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ml_intern.runs.remote import outputs
from ml_intern.runs.remote.far_side import runs
from ml_intern.runs.remote.far_side.delivery import PRUNE_SECONDS, UNUSED_BLOB_SECONDS
from ml_intern.runs.remote.far_side.serve import OPERATIONS
from tests.runs.remote.conftest import RemoteBench
from tests.runs.remote.sshd import Sshd

RSYNC = shutil.which("rsync")
needs_rsync = pytest.mark.skipif(RSYNC is None, reason="needs rsync")
Rsync = Callable[[str], None]


@pytest.fixture
def rsync(box: RemoteBench, stand_in: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch) -> Rsync:
    """Write the text of a program that stands in for rsync here."""

    def write(text: str) -> None:
        stand_in("rsync", text)
        monkeypatch.setenv("PATH", f"{box.workspace.parent}/programs:{os.environ['PATH']}")

    return write


async def content_there(box: RemoteBench) -> str:
    row = await box.ended(await box.started(command="sha256sum 'my data/rows.bin' | cut -c1-64"))
    assert row.state == "succeeded", row.reason + row.tail
    return row.tail.strip()


def write(box: RemoteBench, content: bytes) -> str:
    box.file("my data/rows.bin", content)
    return sha256(content).hexdigest()


@needs_rsync
async def test_a_large_file_is_sent_by_rsync_and_later_only_what_changed_in_it(box: RemoteBench, rsync: Rsync) -> None:
    box.target["workdir"] = f"{box.target['workdir']}/my runs, d'accord"
    report = box.workspace.parent / "report"
    rsync(f'exec {RSYNC} --stats "$@" >> {report}')
    content = bytearray(random.Random(7).randbytes(3_000_000))
    assert write(box, bytes(content)) == await content_there(box)
    content[1_000_000:1_000_010] = b"0123456789"
    assert write(box, bytes(content)) == await content_there(box)
    sent = [int(one.replace(",", "")) for one in re.findall(r"Total bytes sent: ([\d,]+)", report.read_text())]
    assert len(sent) == 2
    assert sent[0] > 3_000_000 > 100_000 > sent[1]


@needs_rsync
async def test_a_small_file_and_one_that_is_there_are_not_sent_by_rsync(box: RemoteBench, rsync: Rsync) -> None:
    digest = write(box, bytes(2_000_000))
    assert digest == await content_there(box)
    report = box.workspace.parent / "report"
    rsync(f"touch {report}; exit 1")
    box.file("small.txt", "7\n")
    assert digest == await content_there(box)
    assert not report.exists()


@pytest.mark.parametrize("text", ["exit 12", "kill -9 $$"])
async def test_what_rsync_does_not_send_is_streamed(box: RemoteBench, rsync: Rsync, text: str) -> None:
    rsync(text)
    assert write(box, random.Random(8).randbytes(2_000_000)) == await content_there(box)


async def test_a_file_that_arrives_damaged_by_rsync_is_sent_again(box: RemoteBench, rsync: Rsync) -> None:
    mirror = Path(box.target["workdir"]) / "mirror"
    rsync(
        f'for one in "$@"; do [ -d "$one" ] && cp "$one"* {mirror}; done;'
        f' for one in {mirror}/*; do echo x > "$one"; done; exit'
    )
    assert write(box, random.Random(9).randbytes(2_000_000)) == await content_there(box)
    assert [one.read_text() for one in mirror.iterdir()] == ["x\n"]


async def test_files_that_no_run_used_for_a_month_are_deleted(box: RemoteBench) -> None:
    old = write(box, b"old\n")
    assert old == await content_there(box)
    there = Path(box.target["workdir"])
    blob = there / "blobs" / old[:2] / old
    long_ago = time.time() - UNUSED_BLOB_SECONDS - 1
    os.utime(blob, (long_ago, long_ago))
    new = write(box, b"new\n")
    assert new == await content_there(box)
    assert blob.exists()  # it was looked for less than a day ago
    os.utime(there / "pruned", (long_ago, time.time() - PRUNE_SECONDS - 1))
    assert new == await content_there(box)
    assert (blob.exists(), (there / "blobs" / new[:2] / new).exists()) == (False, True)


async def test_a_run_that_ended_a_month_ago_keeps_what_it_wrote(box: RemoteBench) -> None:
    box.file("data.txt", "given\n")
    await box.ended(await box.started(command="cat data.txt > out.txt; echo f1=1"))
    (folder,) = (Path(box.target["workdir"]) / "runs").iterdir()
    status = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps({**status, "finished": time.time() - UNUSED_BLOB_SECONDS - 1}))
    (folder.parents[1] / "pruned").unlink()
    box.file("data.txt", "given again\n")
    await box.ended(await box.started(command="cat data.txt"))
    left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.txt"))
    assert (left, (folder / "work/out.txt").read_text()) == (["log.txt", "work/out.txt"], "given\n")


def wheel(folder: Path) -> None:
    """Write a package of one module."""
    with zipfile.ZipFile(folder / "tinynet-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("tinynet.py", "accuracy = 0.75\n")
        archive.writestr("tinynet-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tinynet\nVersion: 1.0\n")
        archive.writestr(
            "tinynet-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("tinynet-1.0.dist-info/RECORD", "")


@pytest.mark.skipif(shutil.which("uv") is None, reason="needs uv")
async def test_a_script_gets_its_packages_from_the_folder_of_wheels_of_its_target(box: RemoteBench, sshd: Sshd) -> None:
    uv = Path(shutil.which("uv") or "").resolve()
    box.target |= {"wheels": "~/my wheels", "setup": f"export PATH={Path(sys.executable).parent}:$PATH:{uv.parent}"}
    box.file(
        "train.py", '# /// script\n# dependencies = ["tinynet"]\n# ///\nimport tinynet\nprint(f"{tinynet.accuracy=}")\n'
    )
    missing = await box.ended(await box.started(script="train.py"))
    assert (missing.state, "the folder of wheels " in missing.reason) == ("failed", True)
    folder = sshd.folder / "home" / "my wheels"
    folder.mkdir()
    try:
        wheel(folder)
        row = await box.ended(await box.started(script="train.py"))
    finally:
        shutil.rmtree(folder)
    assert row.state == "succeeded", row.tail
    assert row.metrics == '{"tinynet.accuracy": 0.75}'


async def test_a_file_that_was_damaged_there_is_not_used_and_is_sent_again(box: RemoteBench) -> None:
    content = random.Random(7).randbytes(5_000)
    digest = write(box, content)
    assert digest == await content_there(box)
    (blob,) = Path(box.target["workdir"]).glob(f"blobs/*/{digest}")
    blob.write_bytes(content[:4_096])
    result = await box.jobs(operation="run", target="box", command="true")
    assert "the copy of my data/rows.bin was damaged" in result.text
    assert len(result.text.splitlines()) == 1
    assert digest == await content_there(box)


class Here:
    """The far side in this process, with a folder of runs."""

    def __init__(self, root: Path) -> None:
        self.root = root

    async def call(self, operation: str, order: Mapping[str, Any], /) -> dict[str, Any]:
        return OPERATIONS[operation](self.root, dict(order))


async def test_files_that_are_too_much_to_read_are_named_and_small_ones_are_read_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "there" / "runs" / "run-1" / "work"
    work.mkdir(parents=True)
    for name, size in (("a-large.bin", 5_000), ("b-small.bin", 5), ("c-middle.bin", 50)):
        (work / name).write_bytes(b"x" * size)
    monkeypatch.setattr(runs, "DIGEST_BYTES", 50)
    monkeypatch.setattr(outputs, "MAX_FILE_BYTES", 1_000)
    found = await outputs.fetch_outputs(Here(tmp_path / "there"), "run-1", ["*.bin"], tmp_path / "copies")
    assert [one.path for one in found.files] == ["b-small.bin"]
    assert [path.name for path in (tmp_path / "copies").iterdir()] == ["b-small.bin"]
    large, middle = found.notes
    assert large.startswith("not copied: a-large.bin (5,000 bytes; it stays there")
    assert middle == "not copied: c-middle.bin (too much at once to check it; fetch it with fewer files)"
