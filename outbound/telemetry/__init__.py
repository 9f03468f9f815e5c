"""Traces of OpenTelemetry: spans of turns, model calls, tool calls and runs."""
