"""Who may do what: sources, credentials, scopes."""
