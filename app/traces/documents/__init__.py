"""Documents of State, Activity Profile and Agent Profile."""
