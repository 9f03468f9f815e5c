"""Redacted contents of files with secrets, as sandboxed commands see them."""

from pathlib import Path

from ml_intern.sandbox.redacted_files import find_redacted_files, redact_content

ENV = """HF_TOKEN=hf_aVeryFakeTokenForTheTests0001
export MY_KEY = "short"
MODE=offline
# a word
DATABASE=postgres://u:hunter22@host/x
"""


def test_lines_with_secrets_become_comments_and_other_lines_stay() -> None:
    assert redact_content(ENV.encode(), ".env").decode() == (
        "# HF_TOKEN is not available in the sandbox\n# MY_KEY is not available in the sandbox\nMODE=offline\n# a word\n"
        "DATABASE=postgres://u:[redacted:url_password]@host/x\n"
    )


def test_binary_content_is_hidden() -> None:
    assert redact_content(b"\x30\x82\xff", "store.p12") == b""


def test_secret_files_are_found_in_the_folder_and_its_subfolders(tmp_path: Path) -> None:
    for name in (".env", "conf/.env.local", "a/b/.env", ".git/.env", "notes/.env"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("MODE=x\n" if name.startswith("notes") else ENV)
    (tmp_path / "secrets.yaml").write_text("token: sk-ant-api03-aFakeOneForTheTests0000000001\n")
    (tmp_path / "cert.pem").write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    (tmp_path / ".env.example").write_text(ENV)
    found = {str(Path(path).relative_to(tmp_path)) for path, _ in find_redacted_files([str(tmp_path)])}
    assert found == {".env", "conf/.env.local", "secrets.yaml"}


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/.env").write_text(ENV)
    workspace = tmp_path / "ws"
    workspace.mkdir()
    (workspace / ".env").symlink_to(tmp_path / "outside/.env")
    (workspace / "conf").symlink_to(tmp_path / "outside")
    assert list(find_redacted_files([str(workspace)])) == []
