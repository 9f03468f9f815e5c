"""Messages to Slack and other destinations."""
