"""Commands as processes: start, environment, output, and the end of everything they started."""
