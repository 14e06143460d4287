"""Statement queries and what is told of agents: the way out."""
