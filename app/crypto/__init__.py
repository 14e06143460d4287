"""Encryption, the blind index and signing: pure functions over keys and bytes, no I/O."""
