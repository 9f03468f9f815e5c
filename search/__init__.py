"""Search for a better value of one metric: attempts, the policies that choose them, and the evidence for each."""
