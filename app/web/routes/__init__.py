"""Routes by feature: which blueprints it has, what they are given, and where they are mounted."""
