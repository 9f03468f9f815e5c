"""The approval policy, its rules, the analysis of shell commands, and the redaction of secrets."""
