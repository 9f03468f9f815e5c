"""What serves threads to other programs: LangGraph Studio, MCP."""
