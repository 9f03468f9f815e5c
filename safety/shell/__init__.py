"""What a shell command does, judged from its syntax tree."""
