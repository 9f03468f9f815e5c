"""Open a session from a request: settings, model, store, tools, servers and notifications."""
