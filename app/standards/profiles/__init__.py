"""xAPI Profiles: statement templates compiled once, verdicts over statements."""
