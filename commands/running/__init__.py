"""The command behind a prompt: a headless run or an interactive session."""
