"""Replacing keys while everybody works."""
