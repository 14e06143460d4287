"""Statements and attachments as they are kept and read."""
