import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_intern.configs.errors import ConfigurationError
from ml_intern.execution.run import judge
from ml_intern.runs.backends.registry import backend_names, backend_spec
from ml_intern.tools.compute.jobs import jobs
from tests.execution.conftest import Bench

SKYPILOT = """
from ml_intern.runs.backends.base import BackendSpec

backend = BackendSpec("skypilot", lambda store: None, is_remote=True)
"""
QUEUE = """
from ml_intern.runs.backends.base import BackendSpec
from ml_intern.runs.backends.local import LocalBackend

backend = BackendSpec("skypilot", lambda store: LocalBackend(store.home))
"""
Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package that adds the backend skypilot, with the given module text and entry point."""
    site = tmp_path / "site-packages"

    def add(source: str, entry: str) -> None:
        information = site / "skypilot_backend-1.0.dist-info"
        information.mkdir(parents=True)
        (site / "skypilot_backend.py").write_text(source)
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: skypilot-backend\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text(f"[ml_intern.compute]\n{entry}\n")
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.delitem(sys.modules, "skypilot_backend", raising=False)

    return add


def test_the_built_in_backends_declare_what_they_can_do() -> None:
    assert backend_names() == ("local", "hub", "sandbox", "ssh", "slurm", "ray", "pool")
    assert not backend_spec("local").is_remote
    assert backend_spec("sandbox").is_remote
    assert [name for name in backend_names() if backend_spec(name).has_prices] == ["hub"]
    assert all(backend_spec(name).can_reattach and backend_spec(name).streams_logs for name in backend_names())


def test_the_backend_of_an_installed_package_is_offered_and_imported_only_when_used(install: Install) -> None:
    install(SKYPILOT, "skypilot = skypilot_backend:backend")
    assert jobs.parameters.model_json_schema()["properties"]["backend"]["enum"] == [
        "local",
        "hub",
        "sandbox",
        "ssh",
        "slurm",
        "ray",
        "pool",
        "skypilot",
    ]
    assert "skypilot_backend" not in sys.modules
    assert backend_spec("skypilot").is_remote


@pytest.mark.parametrize(
    ("source", "entry", "reason"),
    [
        (
            "raise RuntimeError('no cluster')",
            "skypilot = skypilot_backend:backend",
            "cannot be loaded: RuntimeError: no cl",
        ),
        ("", "skypilot = skypilot_backend:backend", "cannot be loaded: AttributeError"),
        ("backend = 1", "skypilot = skypilot_backend:backend", "is not a BackendSpec of that name"),
        (SKYPILOT, "other = skypilot_backend:backend", "is not a BackendSpec of that name"),
    ],
)
def test_a_broken_backend_gives_one_line_when_it_is_used(
    install: Install, source: str, entry: str, reason: str
) -> None:
    install(source, entry)
    with pytest.raises(ConfigurationError, match="of the package skypilot-backend") as caught:
        backend_spec(entry.partition(" ")[0])
    assert reason in caught.value.message
    assert "\n" not in str(caught.value)


def test_an_installed_package_cannot_replace_a_built_in_backend(install: Install) -> None:
    install(SKYPILOT, "local = skypilot_backend:backend")
    assert not backend_spec("local").is_remote


@pytest.mark.parametrize(("source", "kind"), [(QUEUE, "deny"), (SKYPILOT, "allow")])
async def test_policy_judges_the_command_of_every_backend_that_runs_it_on_this_machine(
    install: Install, bench: Bench, source: str, kind: str
) -> None:
    install(source, "skypilot = skypilot_backend:backend")
    call = bench.call("jobs", {"operation": "list", "backend": "skypilot", "command": "rm -rf /"})
    assert (await judge(call, bench.context(mode="yolo"))).kind == kind


def test_an_unknown_backend_is_a_clear_error() -> None:
    with pytest.raises(ConfigurationError, match="unknown compute backend 'mars'"):
        backend_spec("mars")
