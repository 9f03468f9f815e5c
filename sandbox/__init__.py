"""The OS sandbox: bubblewrap, seccomp, the egress proxy, the guard of git control files."""
