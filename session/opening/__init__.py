"""From a request to an open session: settings, model, store, tools, servers, notifications."""
