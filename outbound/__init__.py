"""What leaves the program: exports, traces, notifications."""
