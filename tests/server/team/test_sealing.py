"""Users' keys are sealed with a secret outside the database, each for one user and one name."""

from pathlib import Path

import pytest

from ml_intern.configs.errors import ConfigurationError, UsageError
from ml_intern.session.team.sealing import seal, unseal

OLD, NEW = "o" * 32, "n" * 32


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_INTERN_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ML_INTERN_SECRET_KEY", raising=False)


def test_only_the_same_user_gets_a_key_back() -> None:
    sealed = seal("u1", "HF_TOKEN", "hf_secret")
    assert "hf_secret" not in sealed
    assert unseal("u1", {"HF_TOKEN": sealed}) == {"HF_TOKEN": "hf_secret"}
    for user, name in (("u2", "HF_TOKEN"), ("u1", "OPENAI_API_KEY")):
        with pytest.raises(ConfigurationError, match="somebody else"):
            unseal(user, {name: sealed})


def test_the_first_secret_is_made_in_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    seal("u1", "HF_TOKEN", "x")
    path = tmp_path / "home" / "secret.key"
    assert path.stat().st_mode & 0o777 == 0o600
    path.unlink()
    with pytest.raises(ConfigurationError, match="no secret"):
        unseal("u1", {"HF_TOKEN": "x"})


def test_a_secret_is_replaced_by_putting_the_new_one_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_INTERN_SECRET_KEY", OLD)
    sealed = seal("u1", "HF_TOKEN", "x")
    monkeypatch.setenv("ML_INTERN_SECRET_KEY", f"{NEW},{OLD}")
    assert unseal("u1", {"HF_TOKEN": sealed}) == {"HF_TOKEN": "x"}
    assert unseal("u1", {"HF_TOKEN": seal("u1", "HF_TOKEN", "y")}) == {"HF_TOKEN": "y"}
    monkeypatch.setenv("ML_INTERN_SECRET_KEY", NEW)
    with pytest.raises(ConfigurationError, match="sealed with another"):
        unseal("u1", {"HF_TOKEN": sealed})
    monkeypatch.setenv("ML_INTERN_SECRET_KEY", "short")
    with pytest.raises(ConfigurationError, match="shorter than"):
        seal("u1", "HF_TOKEN", "x")


@pytest.mark.parametrize(
    ("name", "value"), [("PATH", "x"), ("LD_PRELOAD", "x"), ("HF_TOKEN", ""), ("HF_TOKEN", "a\nb")]
)
def test_what_is_not_a_key_is_refused(name: str, value: str) -> None:
    with pytest.raises(UsageError):
        seal("u1", name, value)
