"""The rights of data subjects."""
