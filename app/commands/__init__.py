"""The commands of ``sillage``, by subject: what they ask and print; services decide. ``app/cli/`` assembles them."""
