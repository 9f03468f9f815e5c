"""The default and recommended models are served, call tools and have a price; a retired model names its successor."""

import re
from datetime import date
from pathlib import Path

import pytest

from ml_intern.configs.errors import ModelUnknown
from ml_intern.configs.layers import FRONTEND, SHIPPED
from ml_intern.configs.providers import MODEL_PROVIDERS
from ml_intern.configs.settings import Settings
from ml_intern.models.catalog.lifecycle import recommended, retirement_of
from ml_intern.models.catalog.prices import entry_of
from ml_intern.models.gateway import Models
from ml_intern.store.store import Store

ROOT = Path(__file__).parents[2]
RETIRED = "anthropic/claude-sonnet-4-5-20250929"
NONE_RECOMMENDED = {
    "codestral": "its models in the table do not call tools",
    "perplexity": "its models in the table are not chat models",
    "nvidia_nim": "the table has no chat models of it",
    "github": "the table lists another service under its name",
    "vercel_ai_gateway": "the table has only older models of it",
    "azure": "ids are the names of the user's deployments",
    "azure_ai": "ids are the names of the user's deployments",
    "databricks": "ids are the names of the user's endpoints",
    "hosted_vllm": "the user's own server",
    "litellm_proxy": "the user's own server",
    "bedrock": "which models an account may use differs",
    "vertex_ai": "which models an account may use differs",
    "watsonx": "which models an account may use differs",
}
"""Providers without recommended models, with the reason."""
DEFAULT = Settings().model_name


def resolved_on() -> date:
    """The date at which the dependencies, and with them the price table, were resolved."""
    found = re.search(r'exclude-newer = "(\d{4}-\d\d-\d\d)', (ROOT / "pyproject.toml").read_text("utf-8"))
    assert found
    return date.fromisoformat(found[1])


def test_every_provider_has_recommended_models_or_a_reason() -> None:
    without = {prefix for prefix in MODEL_PROVIDERS if not recommended(prefix)}
    assert without == set(NONE_RECOMMENDED)


@pytest.mark.parametrize("model", [DEFAULT, *(one for prefix in MODEL_PROVIDERS for one in recommended(prefix))])
def test_a_default_or_recommended_model_calls_tools_has_a_price_and_is_served(model: str) -> None:
    entry = entry_of(model)
    assert entry.abilities.tools is True
    assert entry.price is not None
    assert (entry.window or 0) >= 60_000
    assert retirement_of(model, resolved_on()) is None


@pytest.mark.parametrize("prefix", [prefix for prefix in MODEL_PROVIDERS if recommended(prefix)])
def test_the_cheap_model_costs_no_more_and_the_first_is_one_of_both(prefix: str) -> None:
    provider = MODEL_PROVIDERS[prefix]
    strong, cheap = entry_of(provider.strong_model).price, entry_of(provider.cheap_model).price
    assert strong is not None
    assert cheap is not None
    assert cheap.tiers[-1].output <= strong.tiers[-1].output
    assert provider.first_model in ("", provider.strong_model, provider.cheap_model)


def test_the_shipped_files_name_the_default_model() -> None:
    assert MODEL_PROVIDERS["anthropic"].first_model == DEFAULT
    for path in (SHIPPED, FRONTEND):
        assert DEFAULT in path.read_text("utf-8")


@pytest.mark.parametrize(
    ("model", "successor"),
    [
        (RETIRED, "anthropic/claude-sonnet-5"),
        ("anthropic/claude-opus-4-1", "anthropic/claude-opus-5"),
        ("gemini/gemini-2.0-flash", "gemini/gemini-3.5-flash-lite"),
    ],
)
def test_the_successor_is_the_recommended_model_nearest_in_price(model: str, successor: str) -> None:
    retired = retirement_of(model, date(2026, 11, 20))
    assert retired is not None
    assert retired.successor == successor


def test_a_model_is_served_until_its_day() -> None:
    assert retirement_of(RETIRED, date(2026, 9, 28)) is None
    assert retirement_of(RETIRED, date(2026, 9, 29)) is not None
    assert retirement_of("anthropic/no-such-model", date(2026, 9, 29)) is None


async def test_only_requests_to_the_provider_itself_are_reported(store: Store) -> None:
    """The Hugging Face router or an endpoint may serve a model that its maker retired."""
    today = date(2026, 11, 20)
    own = Models(store.ledger, environ={"ANTHROPIC_API_KEY": "k"})
    routed = Models(store.ledger, environ={"HF_TOKEN": "h"})
    assert [one.model for one in own.retired([RETIRED, None, RETIRED], today)] == [RETIRED]
    assert routed.retired([RETIRED], today) == []


async def test_an_unknown_model_that_is_retired_names_its_successor(store: Store) -> None:
    models = Models(store.ledger, environ={"ANTHROPIC_API_KEY": "k"})
    error = await models.known.with_nearest(models.route(RETIRED), ModelUnknown("not known"))
    assert "retired on 2026-09-29" in error.message
    assert "anthropic/claude-sonnet-5" in error.remedy
