"""Where a person's data are."""
