"""The MongoDB that comes along, and the process that keeps it."""
