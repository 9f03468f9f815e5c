"""Running one tool call: its policy inputs, the journal, the process, the limits on its output."""
