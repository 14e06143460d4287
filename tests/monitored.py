"""Commands that a client sends to MongoDB."""

from __future__ import annotations

from pymongo.monitoring import CommandListener, CommandStartedEvent


class Commands(CommandListener):
    """Names of the commands that a client sends to one collection, in order."""

    def __init__(self, collection: str) -> None:
        self._collection = collection
        self.seen: list[str] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command.get(event.command_name) == self._collection:
            self.seen.append(event.command_name)

    def succeeded(self, event: object) -> None:
        pass

    def failed(self, event: object) -> None:
        pass
