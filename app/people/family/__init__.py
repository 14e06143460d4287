"""Learners and guardians who sign in: links of their accounts to learners, and what they are shown."""
