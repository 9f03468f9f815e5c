"""What leaves the machine: a conversation in the formats others read, and back."""
