"""Sealing and blind tokens: pure functions over keys and bytes, no I/O."""
