"""Storage of LangGraph checkpoints in the thread database."""
