"""These tests need the packages of OpenTelemetry (the dev group)."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("opentelemetry") else ["test_*.py"]
