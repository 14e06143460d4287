"""Foundations of all other packages: errors, clock and randomness, JSON that keeps its digits, files written whole."""
