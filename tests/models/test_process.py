"""What holds for a whole process: what it imports, and that the fixed set of packages works together."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools

from tests.fakes import mcp_server
from tests.fakes.model_server import FakeModelServer, Reply
from tests.models.conftest import TOOLS, Bench

DIRECT_CALL = """
import asyncio, sys
from pathlib import Path
from langchain_core.messages import HumanMessage
from ml_intern.graph.events import emitter
from ml_intern.models.gateway import ModelRequest, Models
from ml_intern.models.routing import Endpoint
from ml_intern.store.store import Store

async def main():
    async with await Store.open(Path(sys.argv[2])) as store:
        models = Models(store.ledger, Endpoint(sys.argv[1]), environ={})
        reply = await models.complete(ModelRequest("fake", [HumanMessage("x")]), emitter(lambda event: None))
        await models.close()
    print(reply.message.content, sorted({"litellm", "openai", "langchain_litellm"} & set(sys.modules)))

asyncio.run(main())
"""


def test_the_direct_transport_never_imports_litellm(server: FakeModelServer, tmp_path: Path) -> None:
    server.say(Reply(text="direct"))
    command = [sys.executable, "-W", "error", "-c", DIRECT_CALL, server.url, str(tmp_path / "home")]

    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])

    assert (done.stdout, done.stderr) == ("direct []\n", "")


async def test_a_litellm_completion_and_an_mcp_call_work_in_one_process(bench: Bench) -> None:
    connection = {"transport": "stdio", "command": sys.executable, "args": [mcp_server.__file__]}
    client = MultiServerMCPClient({"fake": connection})  # type: ignore[dict-item]
    async with client.session("fake") as session:
        (add,) = await load_mcp_tools(session)

        reply, summed = await asyncio.gather(bench.ask(), add.ainvoke({"a": 2, "b": 3}))

    assert reply.message.content == "ok"
    assert "5" in str(summed)


def last_text(asked: dict[str, Any]) -> str:
    """The text of the last message of a request, in either API."""
    content = asked["messages"][-1]["content"]
    return str(content if isinstance(content, str) else content[-1]["text"])


async def test_calls_side_by_side_do_not_mix(bench: Bench) -> None:
    bench.server.default = lambda asked: Reply(text=last_text(asked) * 20)
    requests = [bench.request() for _ in range(8)]
    for place, request in enumerate(requests):
        request.messages[-1].content = f"word{place} "

    replies = await asyncio.gather(*(bench.models.complete(request, bench.emit) for request in requests))

    assert [reply.message.content for reply in replies] == [f"word{place} " * 20 for place in range(8)]
    assert (await bench.store.ledger.total("t")).requests == 8


async def test_a_fault_of_one_call_does_not_touch_its_neighbour(bench: Bench) -> None:
    bench.server.say(Reply(status=503, body=b"", headers={}))

    replies = await asyncio.gather(*(bench.ask() for _ in range(3)))

    assert [reply.message.content for reply in replies] == ["ok"] * 3
    assert len(bench.data("error")) == 1


LITELLM_CALLS = """
import asyncio, sys
from pathlib import Path
import tiktoken.registry
from langchain_core.messages import HumanMessage
from ml_intern.graph.events import emitter
from ml_intern.models.gateway import ModelRequest, Models
from ml_intern.store.store import Store

async def main():
    environ = {"HOSTED_VLLM_API_BASE": sys.argv[1] + "/v1", "HOSTED_VLLM_API_KEY": "k"}
    async with await Store.open(Path(sys.argv[2])) as store:
        models = Models(store.ledger, environ=environ)
        for stream in (True, False):
            request = ModelRequest("hosted_vllm/fake", [HumanMessage("x")], stream=stream)
            reply = await models.complete(request, emitter(lambda event: None))
            print(reply.usage.input_tokens, reply.usage.output_tokens)
        await models.close()
    from litellm.litellm_core_utils.default_encoding import encoding
    print(len(tiktoken.registry.ENCODINGS), len(encoding.encode("a word")), len(tiktoken.registry.ENCODINGS))

asyncio.run(main())
"""


def test_litellm_reads_no_encoding_before_one_is_used(server: FakeModelServer, tmp_path: Path) -> None:
    command = [sys.executable, "-c", LITELLM_CALLS, server.url.removesuffix("/v1"), str(tmp_path / "home")]

    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])

    assert done.stdout.splitlines() == ["20 5", "20 5", "0 2 1"], done.stderr


async def test_ids_with_a_signature_of_gemini_go_to_others_without_it(open_bench: Callable[..., Bench]) -> None:
    bench, signed = open_bench("litellm"), "call_1__thought__c2lnbmVk"
    call = {"name": "bash", "args": {}, "id": signed}
    asking = AIMessage("", tool_calls=[call])
    history = [HumanMessage("x"), asking, ToolMessage("y", tool_call_id=signed)]

    await bench.ask(messages=history, tools=TOOLS)

    _, asked, answered = bench.server.asked[0].json["messages"]
    assert (asked["tool_calls"][0]["id"], answered["tool_call_id"]) == ("call_1", "call_1")
    assert asking.tool_calls[0]["id"] == signed
