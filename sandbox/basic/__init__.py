"""The basic sandbox: Landlock and seccomp, without namespaces. Used where bubblewrap is missing or does not work."""
