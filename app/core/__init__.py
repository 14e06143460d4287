"""What everything else may use: errors, clock and randomness, JSON that keeps its digits, files written whole."""
