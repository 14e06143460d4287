"""How long data are kept, and their end: by duration, with an account, a source or an activity; certificates."""
