"""The agent side of the Agent Client Protocol: threads in an editor."""
