"""Ways to send a request: direct HTTP, litellm, a script."""
