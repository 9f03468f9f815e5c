"""Export of conversations to other formats."""
