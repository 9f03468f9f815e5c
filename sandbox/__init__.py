"""The OS sandbox: bubblewrap, seccomp, the egress proxy, the protection of git's control files."""
