"""The input line: editing, history, paste, completion, and the messages that wait."""
