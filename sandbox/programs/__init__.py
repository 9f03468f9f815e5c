"""The programs that a sandboxed command starts, as the kernel reports them."""
