"""The turns of a thread: begin, close, undo, redo, fork, and the checkpoints they end at."""
