"""Files that may contain secrets are in no snapshot, and undo never changes them."""

import subprocess
from pathlib import Path

import pytest

from ml_intern.graph.operations import Redo, Undo, UserInput
from ml_intern.snapshots import scan
from ml_intern.snapshots.prune import delete_secrets, find_secrets
from tests.session.conftest import Lab, bash, turn
from tests.snapshots.test_files_undo import notes
from tests.snapshots.workspace import Workspace

SECRETS = [".env", "deploy/.env.local", "prod.env", "server.pem", "id_ed25519", ".netrc", ".kaggle/kaggle.json"]


def stored(home: Path) -> bytes:
    """Return the contents of all objects of the shadow repositories."""
    found = b""
    for folder in home.glob("snapshots/*"):
        command = ["git", f"--git-dir={folder}", "cat-file", "--batch-all-objects", "--batch"]
        found += subprocess.run(command, check=True, capture_output=True).stdout
    return found


async def test_secrets_are_never_stored_and_never_restored_or_removed(lab: Lab) -> None:
    for name in SECRETS:
        (lab.workspace / name).parent.mkdir(parents=True, exist_ok=True)
        (lab.workspace / name).write_text(f"value-of {name}")
    (lab.workspace / ".env.example").write_text("TOKEN=\n")
    changes = "; ".join(f"echo changed > {name}" for name in SECRETS[1:])
    command = f"rm .env; {changes}; echo x > new.key; echo x > f; echo x > .env.example"
    async with lab.session(lab.script({"tool_calls": [bash(command)]}, {"text": "A"}), approval_mode="yolo") as session:
        await turn(session, UserInput("go"))
        preview = await session.preview_undo(Undo())
        said = await notes(session, Undo(all_files=True))
        assert {change.path for change in preview.changes} == {"f", ".env.example"}
        assert any(note.startswith("not covered by undo: .env, ") for note in preview.notes)
        assert "not covered by undo: .env, " in said
        assert not (lab.workspace / ".env").exists()
        assert (lab.workspace / "prod.env").read_text() == "changed\n"
        assert (lab.workspace / "new.key").exists()
        (lab.workspace / "server.pem").write_text("by hand")
        await turn(session, Redo(all_files=True))
        assert (lab.workspace / "server.pem").read_text() == "by hand"
    assert b"value-of" not in stored(lab.home)
    assert b"changed" not in stored(lab.home)


async def test_prune_removes_the_secrets_that_older_versions_stored(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.write("f", "before")
    workspace.write("sub/.env", "TOKEN=value-of-token")
    with monkeypatch.context() as older:
        older.setattr(scan, "is_secret", lambda path: False)
        name = await workspace.take()
    assert b"value-of-token" in stored(workspace.home)
    assert find_secrets(workspace.home) == (str(workspace.folder / "sub/.env"),)
    assert delete_secrets(workspace.home).snapshots == 1
    assert find_secrets(workspace.home) == ()
    assert b"value-of-token" not in stored(workspace.home)
    workspace.write("f", "after")
    workspace.write("sub/.env", "TOKEN=other")
    restored = await workspace.restore(name)
    assert restored.secret == ("sub/.env",)
    assert (workspace.read("f"), workspace.read("sub/.env")) == ("before", "TOKEN=other")


async def test_a_secret_in_an_old_snapshot_is_not_restored(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.write(".env", "TOKEN=old")
    with monkeypatch.context() as older:
        older.setattr(scan, "is_secret", lambda path: False)
        name = await workspace.take()
    workspace.write(".env", "TOKEN=new")
    restored = await workspace.restore(name)
    assert workspace.read(".env") == "TOKEN=new"
    assert (restored.changes, restored.secret) == ((), (".env",))


async def test_file_contents_are_compressed(workspace: Workspace) -> None:
    workspace.write("f", "a line of text\n" * 100_000)
    await workspace.take()
    assert sum(path.stat().st_size for path in workspace.home.glob("snapshots/*/objects/*/*")) < 100_000
