"""The thread database on PostgreSQL, for several machines: LangGraph's saver, and tables in a schema of their own."""
