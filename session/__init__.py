"""A thread in use: operations in, events out; opening, running, sub-agents, waking, export."""
