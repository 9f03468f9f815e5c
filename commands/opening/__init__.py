"""Opening the settings, the store and a session for a command."""
