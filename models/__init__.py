"""The one place that calls an LLM: routes, transports, retries, usage and prices. Only here is litellm imported."""
