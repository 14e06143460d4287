"""Which request gets a thread next, and which is refused before its body is read."""
