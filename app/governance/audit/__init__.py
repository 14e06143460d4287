"""The audit log: chains, anchors, signed checkpoints, how long entries are kept."""
