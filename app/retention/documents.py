"""Documents of every collection that ends with the duration of a processing activity, counted and deleted together.

The States, agent profiles and activity profiles of xAPI, and whatever else says by when it was written
(``PersonalDataStore.ageing``). Statements are apart: they are found by the tokens of their source
(``app/retention/store.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.core.personal_data import Age, Ageing, Ended, PersonalDataStore


class AgeingDocuments:
    """All of them, as one."""

    def __init__(self, stores: Sequence[PersonalDataStore]) -> None:
        self._each = [ageing for ageing in (store.ageing for store in stores) if ageing is not None]

    def age(self, source: str, due_before: int, overdue_before: int, held: Sequence[bytes] = ()) -> Age:
        """Everything of a source, and what of it is due."""
        ages = [each.age(source, due_before, overdue_before, held) for each in self._each]
        return Age(
            sum(age.kept for age in ages),
            min((age.oldest for age in ages if age.oldest is not None), default=None),
            sum(age.due for age in ages),
            sum(age.overdue for age in ages),
        )

    def count(self, source: str, before: int, held: Sequence[bytes] = (), since: int = 0) -> int:
        """Number of those that the source wrote last, from ``since`` on and before."""
        return sum(each.count(source, before, held, since) for each in self._each)

    def delete(self, source: str, before: int, limit: int, held: Sequence[bytes] = (), since: int = 0) -> int:
        """Delete some of what ``count`` counts, at most ``limit``; how many were, 0 when none is left."""
        return self._some(lambda each: each.delete(source, before, limit, held, since))

    def count_ended(self, source: str, ended: Sequence[Ended], since: int) -> int:
        """Number of those that go since their learner's account ended, of those written from ``since`` on."""
        return sum(each.count_ended(source, ended, since) for each in self._each)

    def delete_ended(self, source: str, ended: Sequence[Ended], since: int, limit: int) -> int:
        """Delete some of what ``count_ended`` counts, at most ``limit``; how many were, 0 when none is left."""
        return self._some(lambda each: each.delete_ended(source, ended, since, limit))

    def _some(self, delete: Callable[[Ageing], int]) -> int:
        return next((gone for gone in map(delete, self._each) if gone), 0)
