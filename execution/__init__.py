"""Running one tool call: policy inputs, journal, processes and output limits."""
