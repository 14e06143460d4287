"""Admission: the order in which requests get a thread, and refusal before a body is read."""
