"""The OS sandbox: bubblewrap, seccomp, the egress proxy, the protection of git's control files.

Every local command that may run untrusted code is started in three steps:

1. `build_profile(request, environment)` (profile.py) decides what the command may see. A `Profile` is plain data.
2. `wrap(argv, profile, folder)` (wrap.py) returns a `WrappedCommand`. This is the only place that chooses how the
   profile is enforced. A further implementation is a function that fills the fields of a `WrappedCommand`.
3. The caller starts the `WrappedCommand` (command.py) once, and closes it after it has ended. `close` stops the helpers
   and removes what git would run; the caller only reports `removed`.

`wrap_captured` (spare.py) does the same for a command without a terminal, in a sandbox that was started ahead.

git in a workspace is started by `open_git` (git/reader.py) instead.
"""
