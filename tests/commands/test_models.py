"""`models`: what can be called, and what is known of one id."""

from collections.abc import Callable, Iterator

import pytest

from tests.commands.conftest import Done
from tests.fakes.model_server import FakeModelServer, error

Run = Callable[..., Done]
CLAUDE = "anthropic/claude-sonnet-5"


@pytest.fixture
def server() -> Iterator[FakeModelServer]:
    with FakeModelServer() as running:
        yield running


def test_every_way_to_a_model_is_listed_with_its_key_by_name(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-fake-0123456789")
    lines = run("models").out.splitlines()
    assert lines[1].split() == ["deepseek/...", "the", "provider's", "API", "DEEPSEEK_API_KEY", "is", "set"]
    assert any(line.startswith("ollama/...") for line in lines)
    assert "selected model: deepseek/deepseek-v4-flash" in lines[-2]
    assert lines[-4].startswith("strong model: deepseek/deepseek-v4-pro ($")
    assert lines[-3].startswith("cheap model: deepseek/deepseek-v4-flash ($")
    shown = run("models", "--json")
    assert shown.json["model"] == "deepseek/deepseek-v4-flash"
    assert "fake" not in shown.out


def test_one_model_is_explained(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-fake-0123456789")
    told = run("models", CLAUDE, "--json").json
    assert told["key"] == "ANTHROPIC_API_KEY"
    assert (told["tools"], told["images"], told["effort"]) == (True, True, True)
    assert told["window"] >= 200_000
    assert {"input", "output", "cache_read", "cache_write", "above"} == set(told["price_per_million"][0])
    text = run("models", CLAUDE).out
    assert "route           anthropic/" in text
    assert "per million tokens (cached $" in text


def test_a_retired_model_is_shown_with_its_successor(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-fake-0123456789")
    retired = "anthropic/claude-sonnet-4-5-20250929"
    found = run("models", retired, "--json").json
    assert (found["retired"], found["successor"]) == ("2026-09-29", "anthropic/claude-sonnet-5")
    assert "2026-09-29: use anthropic/claude-sonnet-5 with -m" in run("models", retired).out
    assert "was retired on 2026-09-29" in run("doctor", "-m", retired).out
    assert "was retired" not in run("doctor").out


def test_an_id_unknown_to_the_price_table_is_reported_before_the_first_request(
    run: Run, server: FakeModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.default = error(404, "not found")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-fake-0123456789")
    monkeypatch.setenv("ANTHROPIC_API_BASE", server.url.removesuffix("/v1"))
    done = run("-m", "anthropic/claude-sonet-5", "--no-sandbox", "go")
    assert done.code == 78
    [note] = [line for line in done.err.splitlines() if "the price table does not list" in line]
    assert note.startswith("note: the price table does not list anthropic/claude-sonet-5; similar names: anthropic/cl")
    assert "claude-sonnet-5" in note
    listed = run("-m", CLAUDE, "--no-sandbox", "go")
    assert "does not list" not in listed.err


def test_a_model_without_its_key_is_explained_too_and_the_remedy_named(run: Run) -> None:
    done = run("models", CLAUDE)
    assert done.code == 78
    assert "key             missing" in done.out
    assert "set ANTHROPIC_API_KEY" in done.err


def test_an_unknown_prefix_is_an_error_with_the_nearest_names(run: Run) -> None:
    done = run("models", "antropic/claude")
    assert done.code == 78
    assert "did you mean anthropic/" in done.err


def test_what_can_be_called_is_listed_from_the_table_and_from_running_servers(
    run: Run, server: FakeModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.models = [{"id": "smol", "max_model_len": 4096}, {"id": "deepseek-v4-flash"}, {"id": "deepseek-embed"}]
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-fake-0123456789")
    monkeypatch.setenv("DEEPSEEK_API_BASE", server.url)
    monkeypatch.setenv("VLLM_BASE_URL", server.url)
    for name in ("OLLAMA", "LM_STUDIO", "LLAMACPP"):
        monkeypatch.setenv(f"{name}_BASE_URL", "http://127.0.0.1:9")
    found = {one["model"]: one for one in run("models", "--available", "--json").json}
    assert found["vllm/smol"]["window"] == 4096
    assert found["vllm/smol"]["free"] is True
    assert found["deepseek/deepseek-v4-flash"]["tools"] is True
    assert not any(name.startswith("openai/") for name in found)
    some = run("models", "--available", "SMOL").out.splitlines()
    assert [line.split()[0] for line in some] == ["MODEL", "vllm/smol"]


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (
            401,
            "deepseek: {host} rejected the key in DEEPSEEK_API_KEY (status 401) (check DEEPSEEK_API_KEY and its perm",
        ),
        (500, "deepseek: {host} answered 500: no"),
        (0, "deepseek: cannot connect to http://127.0.0.1:9"),
    ],
)
def test_a_provider_that_lists_nothing_is_named_with_the_reason(
    run: Run, server: FakeModelServer, monkeypatch: pytest.MonkeyPatch, status: int, line: str
) -> None:
    server.refused = status
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-fake-0123456789")
    monkeypatch.setenv("DEEPSEEK_API_BASE", server.url if status else "http://127.0.0.1:9/v1")
    for name in ("OLLAMA", "LM_STUDIO", "LLAMACPP", "VLLM"):
        monkeypatch.setenv(f"{name}_BASE_URL", "http://127.0.0.1:9")
    done = run("models", "--available")
    assert done.code == 78
    assert line.format(host=f"http://{server.host}") in done.err
    assert "ollama: cannot connect to http://127.0.0.1:9" in done.err
    assert "no model can be called" not in done.out


def test_an_endpoint_tells_of_its_own_models(run: Run, server: FakeModelServer) -> None:
    server.models = [{"id": "theirs", "architecture": {"input_modalities": ["text", "image"]}}]
    (told,) = run("models", "--available", "theirs", "--base-url", server.url, "--json").json
    assert (told["model"], told["images"], told["key"]) == ("theirs", True, None)
