"""Files with secrets as a command in the sandbox sees them."""

from pathlib import Path

from ml_intern.sandbox.covered_files import covered_files, without_secrets

ENV = """HF_TOKEN=hf_aVeryFakeTokenForTheTests0001
export MY_KEY = "short"
MODE=offline
# a word
DATABASE=postgres://u:hunter22@host/x
"""


def test_lines_of_secrets_become_comments_and_the_rest_stays() -> None:
    assert without_secrets(ENV.encode(), ".env").decode() == (
        "# HF_TOKEN stays outside the sandbox\n# MY_KEY stays outside the sandbox\nMODE=offline\n# a word\n"
        "DATABASE=postgres://u:[redacted:url_password]@host/x\n"
    )


def test_what_is_no_text_is_not_seen_at_all() -> None:
    assert without_secrets(b"\x30\x82\xff", "store.p12") == b""


def test_files_are_found_here_and_one_folder_below_and_harmless_ones_stay(tmp_path: Path) -> None:
    for name in (".env", "conf/.env.local", "a/b/.env", ".git/.env", "notes/.env"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("MODE=x\n" if name.startswith("notes") else ENV)
    (tmp_path / "secrets.yaml").write_text("token: sk-ant-api03-aFakeOneForTheTests0000000001\n")
    (tmp_path / "cert.pem").write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    (tmp_path / ".env.example").write_text(ENV)
    found = {str(Path(path).relative_to(tmp_path)) for path, _ in covered_files([str(tmp_path)])}
    assert found == {".env", "conf/.env.local", "secrets.yaml"}


def test_a_link_shows_nothing_of_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/.env").write_text(ENV)
    workspace = tmp_path / "ws"
    workspace.mkdir()
    (workspace / ".env").symlink_to(tmp_path / "outside/.env")
    (workspace / "conf").symlink_to(tmp_path / "outside")
    assert list(covered_files([str(workspace)])) == []
