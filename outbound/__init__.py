"""Data that leaves ml-intern: exports, traces and notifications. The import of exported threads lives here too."""
