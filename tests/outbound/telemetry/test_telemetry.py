"""Spans of real sessions: kept in memory, and sent to a receiver on loopback. Nothing leaves without an endpoint."""

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ml_intern.configs.settings import TelemetrySettings
from ml_intern.graph.events import Event
from ml_intern.graph.operations import UserInput
from ml_intern.outbound.telemetry.export import Telemetry, open_telemetry
from tests.commands.program import Program
from tests.session.conftest import Lab, bash, lab, turn

__all__ = ["lab"]
USAGE = {"input_tokens": 100, "output_tokens": 20, "cost_usd": 0.5}
STEPS: list[dict[str, Any]] = [
    {"text": "secret plan", "tool_calls": [bash("echo word"), bash("exit 3")], "usage": USAGE},
    {"text": "all done", "usage": USAGE},
]


async def spans_of(lab: Lab, *, content: bool) -> list[ReadableSpan]:
    async with lab.session(lab.script(*STEPS)) as session:
        events = await turn(session, UserInput("please"))
    exporter = InMemorySpanExporter()
    telemetry = Telemetry(exporter, content=content)
    for event in events:
        telemetry.take(event)
    telemetry.close()
    return list(exporter.get_finished_spans())


async def test_a_turn_has_spans_of_its_model_calls_and_tools(lab: Lab) -> None:
    spans = await spans_of(lab, content=False)
    [whole] = [one for one in spans if one.name == "invoke_agent ml-intern"]
    inner = sorted((one for one in spans if one is not whole), key=lambda one: one.start_time or 0)
    assert [one.name.partition(" ")[0] for one in inner] == ["chat", "execute_tool", "execute_tool", "chat"]
    assert whole.context
    assert {one.parent.span_id for one in inner if one.parent} == {whole.context.span_id}
    assert {one.context.trace_id for one in spans if one.context} == {whole.context.trace_id}
    chat, worked, failed, _ = (dict(one.attributes or {}) for one in inner)
    assert chat["gen_ai.provider.name"] == "scripted"
    assert (chat["gen_ai.usage.input_tokens"], chat["gen_ai.usage.output_tokens"]) == (100, 20)
    assert chat["ml_intern.cost_usd"] == 0.5
    assert (worked["gen_ai.tool.name"], "error.type" in worked) == ("bash", False)
    assert failed["error.type"] == "failed"
    for one in inner:
        assert (whole.start_time or 0) <= (one.start_time or 0) <= (one.end_time or 0) <= (whole.end_time or 0)
    everything = json.dumps([json.loads(one.to_json()) for one in spans])
    assert not any(text in everything for text in ("please", "secret plan", "echo word", "all done"))


async def test_content_is_sent_only_if_it_is_asked_for(lab: Lab) -> None:
    everything = json.dumps([json.loads(one.to_json()) for one in await spans_of(lab, content=True)])
    assert all(text in everything for text in ("please", "secret plan", "echo word", "all done"))


def test_a_run_has_a_span_from_its_first_report_to_its_end() -> None:
    exporter = InMemorySpanExporter()
    telemetry = Telemetry(exporter, content=False)
    for number, state in enumerate(("running", "running", "failed")):
        data = {"id": "r1", "state": state, "text": "train"}
        telemetry.take(Event("job_update", "thread", number, 1000.0 + number, data))
    telemetry.close()
    [span] = exporter.get_finished_spans()
    assert (span.name, span.end_time, span.start_time) == ("run r1", 1_002_000_000_000, 1_000_000_000_000)
    assert dict(span.attributes or {})["error.type"] == "failed"


def test_nothing_is_made_without_an_endpoint() -> None:
    assert open_telemetry(TelemetrySettings(), pytest.fail) is None


class Receiver(ThreadingHTTPServer):
    """An OTLP receiver that keeps the names of the spans. With a status, it refuses them."""

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.names = status, list[str]()
        self.url = f"http://127.0.0.1:{self.server_port}/v1/traces"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        body = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
        request = ExportTraceServiceRequest.FromString(body)
        found = [span.name for one in request.resource_spans for scope in one.scope_spans for span in scope.spans]
        self.server.names += found
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver(request: pytest.FixtureRequest) -> Iterator[Receiver]:
    with Receiver(getattr(request, "param", 200)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("receiver", [200, 400], indirect=True)
def test_a_receiver_gets_the_spans_and_a_refusal_is_one_line(receiver: Receiver, tmp_path: Path) -> None:
    program = Program(tmp_path)
    options = ("--no-sandbox", "--set", f"telemetry.endpoint={receiver.url}")
    done = program.run("-m", program.script(*STEPS), *options, "-p", "go")
    assert (done.returncode, done.stdout) == (0, "all done\n")
    assert sorted(name.partition(" ")[0] for name in receiver.names) == [
        "chat", "chat", "execute_tool", "execute_tool", "invoke_agent",
    ]  # fmt: skip
    lines = [line for line in done.stderr.splitlines() if "telemetry" in line]
    assert len(lines) == (0 if receiver.status == 200 else 1), done.stderr
    assert "Traceback" not in done.stderr
