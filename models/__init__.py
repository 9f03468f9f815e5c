"""The only place that calls an LLM."""
