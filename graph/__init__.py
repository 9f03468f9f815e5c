"""The agent's state machine: the graph itself (build.py) and the types of its state, context, events and operations."""
