"""Commands as processes: start, environment, output, and termination of everything they started."""
