"""Transports of model requests: direct HTTP, litellm, a script."""
