"""Statements recorded and checked: the way in."""
