"""The explorer of aggregates: a question in an address, and its answer as chart, table and files."""
