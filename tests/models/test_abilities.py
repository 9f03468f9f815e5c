"""What a model can do: told by its endpoint, learned from what is rejected, and said plainly."""

from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from ml_intern.models.catalog.abilities import Abilities
from ml_intern.models.catalog.endpoint import read_catalogue
from ml_intern.models.errors import BadRequest
from tests.fakes.model_server import Reply, error
from tests.models.conftest import TOOLS, Bench

PICTURE = HumanMessage(
    [{"type": "text", "text": "look"}, {"type": "image", "base64": "aGk=", "mime_type": "image/png"}]
)
PROPS = {
    "default_generation_settings": {"n_ctx": 4096},
    "modalities": {"vision": False},
    "chat_template_caps": {"supports_tools": False, "supports_tool_calls": False},
}


@pytest.mark.parametrize(
    ("entry", "abilities"),
    [
        ({}, Abilities()),
        ({"providers": [{"provider": "a", "supports_tools": True}]}, Abilities(tools=True)),
        (
            {"providers": [{"provider": "a", "supports_tools": True}, {"provider": "b", "supports_tools": False}]},
            Abilities(),
        ),
        ({"architecture": {"input_modalities": ["text", "image"]}}, Abilities(images=True)),
        ({"architecture": {"input_modalities": ["text"]}}, Abilities(images=False)),
        ({"supported_parameters": ["max_tokens", "tools"]}, Abilities(tools=True)),
        ({"capabilities": {"function_calling": False, "vision": True}}, Abilities(tools=False, images=True)),
    ],
)
def test_abilities_are_read_in_the_words_of_each_endpoint(entry: dict[str, Any], abilities: Abilities) -> None:
    assert read_catalogue({"data": [{"id": "m", **entry}]})["m"].abilities == abilities


async def test_a_model_whose_server_reports_no_tools_gets_them_as_text_from_the_first_request(direct: Bench) -> None:
    direct.server.models = [{"id": "smol.gguf", "owned_by": "llamacpp", "meta": {"n_ctx_train": 8192}}]
    direct.server.pages["/props"] = PROPS

    assert (await direct.ask(tools=TOOLS)).message.content == "ok"

    [asked] = direct.server.asked
    assert "tools" not in asked.json
    assert "## bash" in asked.json["messages"][0]["content"]
    assert (await direct.ask()).message.content == "ok"
    assert "## bash" not in str(direct.server.asked[-1].json)
    assert direct.models.window(direct.model) == 4096


async def test_a_server_that_rejects_tools_in_its_own_words_gets_them_as_text(bench: Bench) -> None:
    block = '```tool\n{"name": "bash", "args": {}}\n```'

    def picky(asked: dict[str, Any]) -> Reply:
        return error(400, "smol does not support that") if asked.get("tools") else Reply(text=block)

    bench.server.default = picky

    reply = await bench.ask(tools=TOOLS)

    assert [call["name"] for call in reply.message.tool_calls] == ["bash"]
    assert "trying once more with tools called by text" in bench.data("error")[-1]["message"]
    assert bench.models.abilities(bench.model).tools is False
    assert len(bench.server.asked) <= 4
    assert (await bench.store.ledger.total("t")).requests == len(bench.server.asked)


async def test_a_request_rejected_for_another_reason_keeps_its_own_words(bench: Bench) -> None:
    bench.server.default = error(400, "the stars are wrong")

    with pytest.raises(BadRequest, match="the stars are wrong"):
        await bench.ask(tools=TOOLS)

    assert len(bench.server.asked) <= 4


async def test_images_a_model_rejects_are_left_out_from_then_on_and_it_is_said(chat: Bench) -> None:
    def blind(asked: dict[str, Any]) -> Reply:
        return error(400, "no images") if "image_url" in str(asked["messages"]) else Reply(text="ok")

    chat.server.default = blind

    for _ in range(2):
        await chat.ask(messages=[PICTURE])

    assert len(chat.server.asked) == 3
    assert "does not accept images" in str(chat.server.asked[-1].json["messages"])
    assert "without images" in chat.data("error")[0]["message"]
    assert chat.models.abilities(chat.model).images is False


async def test_a_model_known_to_be_blind_is_never_sent_an_image(direct: Bench) -> None:
    direct.server.models = [{"id": "fake", "architecture": {"input_modalities": ["text"]}}]

    await direct.ask(messages=[PICTURE])

    assert "image_url" not in str(direct.server.asked[0].json["messages"])


async def test_a_window_that_is_known_only_once_the_model_is_loaded_is_asked_again(direct: Bench) -> None:
    direct.server.models = [{"id": "fake", "owned_by": "library"}]
    await direct.ask()
    direct.server.pages["/api/ps"] = {"models": [{"model": "fake", "context_length": 4096}]}

    await direct.ask()
    await direct.ask()

    assert direct.models.window(direct.model) == 4096


async def test_lm_studio_tells_the_window_a_model_was_loaded_with(direct: Bench) -> None:
    direct.server.models = [{"id": "fake", "owned_by": "organization_owner"}]
    loaded = {"loaded_instances": [{"config": {"context_length": 8000}}], "capabilities": {"vision": True}}
    direct.server.pages["/api/v1/models"] = {"models": [{"key": "fake", **loaded}]}

    await direct.ask()

    assert direct.models.window(direct.model) == 8000
    assert direct.models.abilities(direct.model).images is True
