"""The thread database: opening it, one module a table, the checkpointer, the locks. The only room with SQL."""
