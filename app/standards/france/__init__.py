"""French education identifiers: UAI, MEF, INE."""
