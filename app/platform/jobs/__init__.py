"""The scheduler, its leader lease, the history of jobs."""
