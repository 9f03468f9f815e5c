"""These tests need the package agent-client-protocol (the dev group)."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("acp") else ["test_*.py"]
