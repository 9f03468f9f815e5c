"""Servers that give other programs access to threads and tools: LangGraph Studio, MCP."""
