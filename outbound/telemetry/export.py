"""Sends the spans of a session to the endpoint in the settings, over OTLP and HTTP."""

import logging
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ml_intern.configs.errors import ConfigurationError
from ml_intern.configs.settings import TelemetrySettings
from ml_intern.configs.version import install_hint, version

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    from ml_intern.graph.events import Event

SEND_SECONDS = 5
"""The time that one request may take, and the end of a session may wait for the last ones."""
Report = Callable[[str], object]


class Telemetry:
    """Sends the spans of one session. A failure is reported once and never stops the session."""

    def __init__(self, exporter: "SpanExporter", *, content: bool) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        from ml_intern.outbound.telemetry.spans import AGENT, SessionSpans

        resource = Resource.create({"service.name": AGENT, "service.version": version()})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._spans = SessionSpans(self._provider.get_tracer(AGENT, version()), content=content)

    def take(self, event: "Event") -> None:
        """Make spans of an event. They are sent in the background."""
        self._spans.take(event)

    def close(self) -> None:
        """Send the last spans. It blocks for at most a few seconds."""
        self._spans.close()
        self._provider.force_flush(SEND_SECONDS * 1000)
        self._provider.shutdown()


class ReportingExporter:
    """Exports spans with another exporter, and reports the first failure in one line."""

    def __init__(self, exporter: "SpanExporter", endpoint: str, report: Report) -> None:
        self._exporter, self._endpoint, self._report = exporter, endpoint, report
        self._has_failed = False

    def export(self, spans: "Sequence[ReadableSpan]") -> "SpanExportResult":
        """Send spans."""
        result = self._exporter.export(spans)
        if result.name != "SUCCESS" and not self._has_failed:
            self._has_failed = True
            self._report(f"telemetry.endpoint {self._endpoint} does not accept spans; the session continues without")
        return result

    def shutdown(self) -> None:
        """End the connection."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = SEND_SECONDS * 1000) -> bool:
        """Wait until all spans were sent."""
        return self._exporter.force_flush(timeout_millis)


def open_telemetry(settings: TelemetrySettings, report: Report) -> Telemetry | None:
    """Return what sends the spans of a session; None if no endpoint is set. Raises ConfigurationError."""
    if not settings.endpoint:
        return None
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.exporter") is None:
        raise ConfigurationError("telemetry.endpoint needs the OpenTelemetry packages", install_hint("telemetry"))
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # failures are reported in one line instead
    exporter = OTLPSpanExporter(endpoint=settings.endpoint, timeout=SEND_SECONDS)
    reporting = ReportingExporter(exporter, settings.endpoint, report)
    return Telemetry(reporting, content=settings.content)  # type: ignore[arg-type]  # it has all methods
