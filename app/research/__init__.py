"""Facts, aggregates, disclosure control, exports."""
