"""Retention: end of data by duration, with an account, a source or a processing activity; certificates."""
