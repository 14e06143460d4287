"""Finding of a data subject's data."""
