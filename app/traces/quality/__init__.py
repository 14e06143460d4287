"""Quality of what sources send: what arrives by day, what is refused, and why."""
