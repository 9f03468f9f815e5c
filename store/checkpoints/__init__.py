"""LangGraph's checkpoints in the thread database."""
