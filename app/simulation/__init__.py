"""Realistic synthetic traces, from a seed."""
