"""Keys: the keyring, the organisation's keys, learners' keys, and what is sealed for a data subject."""
