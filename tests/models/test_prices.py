import pytest

from ml_intern.models.catalog.endpoint import offer_of, read_catalogue
from ml_intern.models.catalog.prices import Price, Rates, names_of, price_of, window_of
from ml_intern.models.request import Usage
from ml_intern.models.routing import Route

ROUTER = {
    "data": [
        {
            "id": "org/model",
            "providers": [
                {
                    "provider": "fast",
                    "status": "live",
                    "context_length": 64_000,
                    "pricing": {"input": 1.0, "output": 2.0},
                },
                {
                    "provider": "cheap",
                    "status": "live",
                    "context_length": 32_000,
                    "pricing": {"input": 0.5, "output": 1.0},
                },
                {"provider": "gone", "status": "staging", "context_length": 1_000},
            ],
        }
    ]
}


def hub(name: str) -> Route:
    return Route(name, name, "direct", "hub", "https://router.example/v1")


def test_the_table_knows_the_large_providers_without_importing_litellm() -> None:
    for model in ("anthropic/claude-sonnet-5", "openai/gpt-4o", "gemini/gemini-2.5-pro"):
        assert price_of(model) is not None
        assert (window_of(model) or 0) >= 100_000


def test_what_the_table_does_not_know_is_none() -> None:
    assert price_of("openai/no-such-model") is None
    assert window_of("openai/no-such-model") is None
    assert price_of("anthropic/gpt-4o") is None


def test_cached_and_written_tokens_have_their_own_rates() -> None:
    price = Price((Rates(10.0, 100.0, cache_read=1.0, cache_write=12.0),))

    cost = price.cost(Usage(input_tokens=100, output_tokens=2, cached_tokens=70, cache_write_tokens=20))

    assert cost == pytest.approx(10 * 10 + 70 * 1 + 20 * 12 + 2 * 100)


def test_long_inputs_are_charged_by_their_tier() -> None:
    price = price_of("gemini/gemini-2.5-pro")
    assert price is not None

    short, long = (price.cost(Usage(input_tokens=count)) / count for count in (200_000, 200_001))

    assert long == pytest.approx(2 * short)


def test_names_are_written_with_their_provider() -> None:
    assert "openai/gpt-4o" in names_of("openai")


def test_the_routers_catalogue_gives_prices_by_provider_and_the_safe_window() -> None:
    offers = read_catalogue(ROUTER)
    usage = Usage(input_tokens=1_000_000, output_tokens=1_000_000)

    any_provider, named = offer_of(offers, hub("org/model")), offer_of(offers, hub("org/model:cheap"))

    assert any_provider is not None
    assert named is not None
    assert any_provider.window == 32_000
    assert any_provider.price(None) is None
    assert any_provider.price("fast") == Price((Rates(1e-06, 2e-06),))
    cheap = named.price(None)
    assert cheap is not None
    assert cheap.cost(usage) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("entry", "window"),
    [
        ({"max_model_len": 8192}, 8192),
        ({"meta": {"n_ctx_train": 4096}}, 4096),
        ({"context_length": "many"}, None),
        ({}, None),
    ],
)
def test_windows_are_read_in_the_words_of_each_server(entry: dict[str, object], window: int | None) -> None:
    assert read_catalogue({"data": [{"id": "m", **entry}]})["m"].window == window


@pytest.mark.parametrize("answer", [None, [], {"data": "x"}, {"data": [1, {"id": 2}, {}]}, "page"])
def test_an_answer_that_is_no_catalogue_is_an_empty_one(answer: object) -> None:
    assert read_catalogue(answer) == {}
