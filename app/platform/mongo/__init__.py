"""MongoDB: connection, declared collections and indexes, group commit."""
