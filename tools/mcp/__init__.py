"""MCP client: connects to MCP servers and offers their tools to the model."""
