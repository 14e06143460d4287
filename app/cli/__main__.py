"""``python -m app.cli``: the ``sillage`` command without its script."""

from app.cli import main

main()
