"""Record and query statements: the way in and the way out."""
