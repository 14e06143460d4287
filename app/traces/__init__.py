"""Traces: statements, their attachments, documents; taking them in, holding them to profiles, giving them out."""
