"""Finding of a person's data."""
