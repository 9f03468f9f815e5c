"""No error shows the class names of litellm, whichever provider answers what."""

import json
import re
from collections.abc import Iterator

import pytest
from langchain_core.messages import HumanMessage
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ml_intern.configs.errors import MLInternError
from ml_intern.graph.events import emitter
from ml_intern.models.errors import clean_words
from ml_intern.models.gateway import ModelRequest, Models
from ml_intern.models.transports.base import Timeouts
from ml_intern.store.store import Store
from tests.fakes.served import Served

PROVIDERS = {
    "anthropic/claude-sonnet-5": ("ANTHROPIC_API_KEY", "ANTHROPIC_API_BASE"),
    "openai/gpt-5": ("OPENAI_API_KEY", "OPENAI_BASE_URL"),
    "deepseek/deepseek-v4-flash": ("DEEPSEEK_API_KEY", "DEEPSEEK_API_BASE"),
    "mistral/mistral-large-latest": ("MISTRAL_API_KEY", "MISTRAL_API_BASE"),
    "moonshot/kimi-k2": ("MOONSHOT_API_KEY", "MOONSHOT_API_BASE"),
    "hosted_vllm/any": ("HOSTED_VLLM_API_KEY", "HOSTED_VLLM_API_BASE"),
    "litellm_proxy/any": ("LITELLM_PROXY_API_KEY", "LITELLM_PROXY_API_BASE"),
}
WORDS = "the limit of this account"
STATUSES = (400, 401, 403, 404, 429, 500)
CLASSES = re.compile(r"litellm\.|\w(?:Error|Exception)\b|Traceback|<class")


class Answers(Served):
    """Answers every request with one response."""

    def __init__(self) -> None:
        self.status, self.body = 200, b""
        super().__init__(Starlette(routes=[Route("/{path:path}", self._answer, methods=["POST"])]))

    async def _answer(self, request: Request) -> Response:
        return Response(self.body, self.status, {"content-type": "application/json"})


@pytest.fixture(scope="module")
def answers() -> Iterator[Answers]:
    with Answers() as running:
        yield running


async def error_of(models: Models, model: str, shown: list[str]) -> str:
    """The message of the error that ends a call, with its remedy; `shown` gets those of its retries."""
    request = ModelRequest(model, [HumanMessage("hello")], thread_id="t", root_id="t", stream=False)
    try:
        await models.complete(request, emitter(lambda event: shown.append(str(event["data"].get("message", "")))))
    except MLInternError as error:
        return str(error)
    pytest.fail(f"{model} gave a reply")


@pytest.mark.parametrize("model", PROVIDERS)
async def test_no_error_of_a_provider_names_a_class(model: str, answers: Answers, store: Store) -> None:
    key, base = PROVIDERS[model]
    waits = Timeouts(connect_s=5, idle_s=5, whole_s=5, retries=0, patience_s=0)
    shown: list[str] = []
    models = Models(store.ledger, waits=waits, environ={key: "sk-very-secret", base: f"http://{answers.host}/v1"})
    try:
        for status in STATUSES:
            body = {"type": "error", "error": {"type": "some_error", "message": WORDS}}
            answers.status, answers.body = status, json.dumps(body).encode()
            shown.append(text := await error_of(models, model, shown))
            assert status in (401, 403, 404) or WORDS in text
        for status, raw in ((200, b"{not json"), (500, b"{not json"), (200, b""), (400, b"[]")):
            answers.status, answers.body = status, raw
            shown.append(await error_of(models, model, shown))
    finally:
        await models.close()
    refused = Models(store.ledger, waits=waits, environ={key: "sk-very-secret", base: "http://127.0.0.1:9/v1"})
    try:
        shown.append(await error_of(refused, model, shown))
    finally:
        await refused.close()
    assert [text for text in shown if CLASSES.search(text) or not text.strip()] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("litellm.AuthenticationError: AnthropicException - invalid x-api-key", "invalid x-api-key"),
        ('litellm.BadRequestError: GeminiException - b\'{"error": {"message": "bad"}}\'', "bad"),
        ('litellm.RateLimitError: RateLimitError: OpenAIException - {"error": {"message": "slow"}}', "slow"),
        ("litellm.InternalServerError: XaiException - Connection error.", "Connection error."),
        ("litellm.APIConnectionError: APIConnectionError: OpenAIException - gone", "gone"),
        ("KeyError: 'choices'", "'choices'"),
        ("An error: the model is busy", "An error: the model is busy"),
        ("Error in line 3 of the template", "Error in line 3 of the template"),
    ],
)
def test_class_names_are_removed_and_words_stay(text: str, expected: str) -> None:
    assert clean_words(text) == expected
