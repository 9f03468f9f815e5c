from pathlib import Path

import pytest

from ml_intern.configs.errors import ConfigurationError, KeyMissing, ModelUnknown
from ml_intern.models.routing import HUB_ROUTER, Endpoint, find_route


@pytest.fixture
def nothing(tmp_path: Path) -> dict[str, str]:
    """An environment without keys and without a stored login."""
    return {"HF_HOME": str(tmp_path)}


def test_a_provider_whose_key_is_set_is_called_as_the_id_stands(nothing: dict[str, str]) -> None:
    route = find_route("openai/gpt-5", nothing | {"OPENAI_API_KEY": "k", "HF_TOKEN": "h"})

    assert (route.transport, route.name, route.key_env, route.key) == ("litellm", "openai/gpt-5", "OPENAI_API_KEY", "k")


CLAUDE = "anthropic/claude-sonnet-4-5"


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ({}, "https://api.anthropic.com/v1"),
        ({"ANTHROPIC_BASE_URL": "https://proxy.example"}, "https://proxy.example/v1"),
        ({"ANTHROPIC_BASE_URL": "https://proxy.example/anthropic/"}, "https://proxy.example/anthropic/v1"),
        ({"ANTHROPIC_API_BASE": "http://127.0.0.1:1/v1"}, "http://127.0.0.1:1/v1"),
    ],
)
def test_anthropic_is_called_directly(nothing: dict[str, str], address: dict[str, str], url: str) -> None:
    route = find_route(CLAUDE, nothing | {"ANTHROPIC_API_KEY": "k"} | address)

    assert (route.transport, route.name, route.base_url, route.key) == ("anthropic", "claude-sonnet-4-5", url, "k")


def test_litellm_calls_anthropic_if_the_settings_say_so(nothing: dict[str, str]) -> None:
    route = find_route(CLAUDE, nothing | {"ANTHROPIC_API_KEY": "k"}, only_litellm=True)

    assert (route.transport, route.name) == ("litellm", CLAUDE)


@pytest.mark.parametrize(
    "model",
    ["Qwen/Qwen3-32B", "openai/gpt-oss-120b", "meta-llama/Llama-3:groq", "mistralai/Mistral-7B", "huggingface/a/b"],
)
def test_ids_of_the_hub_and_ids_whose_key_is_missing_go_to_the_router(nothing: dict[str, str], model: str) -> None:
    route = find_route(model, nothing | {"HF_TOKEN": "h"})

    assert (route.transport, route.base_url, route.key_env) == ("direct", HUB_ROUTER, "HF_TOKEN")
    assert route.name == model.removeprefix("huggingface/")
    assert "Hugging Face router" in route.note


def test_the_fallback_to_the_router_is_said(nothing: dict[str, str]) -> None:
    route = find_route("openai/gpt-oss-120b", nothing | {"HF_TOKEN": "h"})

    assert "OPENAI_API_KEY is not set" in route.note
    assert "OPENAI_API_KEY" in route.hint


def test_a_named_hub_provider_goes_to_the_router_though_a_key_is_set(nothing: dict[str, str]) -> None:
    route = find_route("openai/gpt-oss-120b:cerebras", nothing | {"HF_TOKEN": "h", "OPENAI_API_KEY": "k"})

    assert route.base_url == HUB_ROUTER


@pytest.mark.parametrize("model", ["bedrock/anthropic.claude-v2:1", "openrouter/deepseek/deepseek-r1:free"])
def test_a_colon_in_a_providers_own_names_is_not_taken_for_a_hub_provider(nothing: dict[str, str], model: str) -> None:
    keys = {"AWS_PROFILE": "work", "OPENROUTER_API_KEY": "k", "HF_TOKEN": "h"}

    assert find_route(model, nothing | keys).transport == "litellm"


def test_an_ambient_credential_is_never_handed_on_as_a_key(nothing: dict[str, str]) -> None:
    assert find_route("bedrock/anthropic.claude-v2", nothing | {"AWS_PROFILE": "work"}).key is None


def test_a_stored_login_counts_as_hf_token(nothing: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_stored\n")

    assert find_route("Qwen/Qwen3-32B", nothing).key == "hf_stored"


@pytest.mark.parametrize("model", ["anthropic/claude-sonnet-4-5", "openai/gpt-5"])
def test_without_any_key_the_ways_to_get_a_model_are_named(nothing: dict[str, str], model: str) -> None:
    with pytest.raises(KeyMissing) as raised:
        find_route(model, nothing)

    variable = "ANTHROPIC_API_KEY" if model.startswith("anthropic") else "OPENAI_API_KEY"
    for way in (variable, "HF_TOKEN", "ml-intern demo", "--base-url", "ollama/"):
        assert way in str(raised.value)


@pytest.mark.parametrize("name", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN"])
def test_every_name_of_the_hub_token_is_read(nothing: dict[str, str], name: str) -> None:
    assert find_route("Qwen/Qwen3-32B", nothing | {name: "hf_named"}).key == "hf_named"


def test_the_older_names_of_lm_studio_are_read(nothing: dict[str, str]) -> None:
    named = {"LMSTUDIO_BASE_URL": "http://127.0.0.1:9/v1", "LMSTUDIO_API_KEY": "lm"}
    route = find_route("lm_studio/x", nothing | named)
    assert (route.base_url, route.key) == ("http://127.0.0.1:9/v1", "lm")


def test_an_empty_key_is_no_key(nothing: dict[str, str]) -> None:
    with pytest.raises(KeyMissing):
        find_route("openai/gpt-5", nothing | {"OPENAI_API_KEY": ""})


@pytest.mark.parametrize("token", [{}, {"HF_TOKEN": "h"}])
def test_a_misspelt_provider_is_an_error_with_the_nearest_names(nothing: dict[str, str], token: dict[str, str]) -> None:
    with pytest.raises(ModelUnknown, match="did you mean anthropic/"):
        find_route("antropic/claude-sonnet-4-5", nothing | token)


def test_a_bare_name_is_an_error_that_says_how_to_write_it(nothing: dict[str, str]) -> None:
    with pytest.raises(ModelUnknown, match="write openai/gpt-4o"):
        find_route("gpt-4o", nothing | {"OPENAI_API_KEY": "k"})


@pytest.mark.parametrize(
    ("model", "environ", "url"),
    [
        ("ollama/llama3:8b", {}, "http://localhost:11434/v1"),
        ("vllm/Qwen/Qwen3-8B", {}, "http://localhost:8000/v1"),
        ("lm_studio/x", {}, "http://127.0.0.1:1234/v1"),
        ("llamacpp/x", {}, "http://localhost:8080/v1"),
        ("ollama/x", {"OLLAMA_BASE_URL": "http://box:1"}, "http://box:1/v1"),
        ("vllm/x", {"LOCAL_LLM_BASE_URL": "http://box:2/api/"}, "http://box:2/api/v1"),
        ("vllm/x", {"LOCAL_LLM_BASE_URL": "http://a", "VLLM_BASE_URL": "http://b/v1"}, "http://b/v1"),
    ],
)
def test_local_servers_have_an_address_and_need_no_key(
    nothing: dict[str, str], model: str, environ: dict[str, str], url: str
) -> None:
    route = find_route(model, nothing | environ | {"LOCAL_LLM_API_KEY": "local"})

    assert (route.transport, route.base_url, route.name) == ("direct", url, model.partition("/")[2])
    assert route.key == "local"
    assert route.free


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/v1"),
        ("https://host/api/v2/", "https://host/api/v2"),
        ("https://host/v1/chat/completions", "https://host/v1"),
        ("https://host/openai/v1?api-version=1", "https://host/openai/v1?api-version=1"),
    ],
)
def test_a_base_url_is_completed_and_takes_the_id_as_it_stands(nothing: dict[str, str], given: str, url: str) -> None:
    route = find_route("org/name", nothing | {"MY_KEY": "k"}, Endpoint(given, "MY_KEY"))

    assert (route.transport, route.base_url, route.name, route.key) == ("direct", url, "org/name", "k")


@pytest.mark.parametrize(
    ("model", "free"), [("vllm/org/name", True), ("ollama/x", True), ("org/name", False), ("x", False)]
)
def test_at_a_base_url_a_local_server_costs_nothing_if_its_prefix_names_it(
    nothing: dict[str, str], model: str, *, free: bool
) -> None:
    url = "https://gpu.example.com/v1"

    assert find_route(model, nothing, Endpoint(url, model=model)).free is free


@pytest.mark.parametrize(
    "given", ["localhost:8000", "ftp://host", "http://", "nonsense", "http://host:port", "http://[::1"]
)
def test_a_base_url_that_is_none_is_one_clear_line(nothing: dict[str, str], given: str) -> None:
    with pytest.raises(ConfigurationError, match="--base-url"):
        find_route("x", nothing, Endpoint(given))


def test_a_script_needs_no_key_even_with_a_base_url(nothing: dict[str, str]) -> None:
    route = find_route("scripted:demo/script.yaml", nothing, Endpoint("http://127.0.0.1:1"))

    assert (route.transport, route.name, route.free) == ("scripted", "demo/script.yaml", True)


def test_neither_keys_nor_credentials_in_urls_are_shown(nothing: dict[str, str]) -> None:
    route = find_route("x", nothing | {"K": "sk-secret"}, Endpoint("https://user:pass@host:8443/v1", "K"))

    assert "sk-secret" not in repr(route)
    assert route.where == "https://host:8443"
    assert "pass" not in route.note


@pytest.mark.parametrize("key", ["sk-…", "sk-a b", "sk-\x00a", "sk-a\nsk-b"])
def test_a_key_that_cannot_be_sent_is_said_without_showing_it(nothing: dict[str, str], key: str) -> None:
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY contains characters") as raised:
        find_route("openai/gpt-5", nothing | {"OPENAI_API_KEY": key})

    assert key not in str(raised.value)


def test_a_key_pasted_with_its_line_end_is_trimmed(nothing: dict[str, str]) -> None:
    assert find_route("openai/gpt-5", nothing | {"OPENAI_API_KEY": " sk-a\r\n"}).key == "sk-a"


@pytest.mark.parametrize(
    ("model", "key"),
    [
        ("org/name", "k"),
        ("name", "k"),
        ("openai/gpt-oss-120b", "k"),
        ("anthropic/claude-haiku-4-5", "a"),
        ("ollama/qwen3", None),
        ("org/model:provider", "h"),
        ("huggingface/org/name", "h"),
        ("huggingface/openai/gpt-oss-120b", "h"),
    ],
)
def test_an_endpoint_is_for_its_own_model_and_for_ids_that_name_no_provider(
    nothing: dict[str, str], model: str, key: str | None
) -> None:
    endpoint = Endpoint("http://127.0.0.1:8000", "K", "openai/gpt-oss-120b")

    route = find_route(model, nothing | {"K": "k", "ANTHROPIC_API_KEY": "a", "HF_TOKEN": "h"}, endpoint)

    assert route.key == key
    assert (route.base_url == "http://127.0.0.1:8000/v1") is (key == "k")
