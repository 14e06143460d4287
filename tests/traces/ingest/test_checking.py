"""Faults told of statements about minors are bounded, however much is found in them."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

from app.standards.france import minors
from app.standards.profiles.checker import Mode, Outcome, Verdict
from app.standards.profiles.extensions import Extensions
from app.standards.xapi.versions import Version
from app.traces.conformance.minors_policy import MAX_REFUSALS, refusals
from app.traces.ingest.checking import MAX_FAULTS, Judge, Tally
from tests.served import statement

# 1 MiB of JSON, as one statement may have: a long key above what has the form of an INE.
WIDE = statement(result={"extensions": {"https://ent.example/" + "k" * 500_000: ["123456789AB"] * 35_000}})


def spent(do: Any) -> tuple[Any, float, float]:
    """The outcome, seconds of processor and the peak of memory in MiB, of which tracing takes most."""
    tracemalloc.start()
    begun = time.process_time()
    try:
        done = do()
        return done, time.process_time() - begun, tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def test_a_refusal_words_what_it_shows() -> None:
    def refuse() -> Any:
        given = [WIDE] * 10
        return refusals("refuse", given, [minors.find(each) for each in given], many=True)

    faults, seconds, mebibytes = spent(refuse)
    assert len(faults) == MAX_REFUSALS
    assert all(fault.pointer.startswith("/0/result/extensions/https:~1~1") for fault in faults)
    assert max(len(fault.pointer) for fault in faults) < 300
    # Ten statements of 1 MiB; a pointer for each place would be 175 GB.
    assert (seconds < 20, mebibytes < 120) == (True, True)


def test_a_check_tells_the_first_places_of_each_statement_and_counts_the_rest() -> None:
    tally = Tally(
        Judge(
            lambda given: [Verdict(Outcome.UNMATCHED, ())] * len(given),
            lambda given: [()] * len(given),
            Extensions([]),
            lambda given, found: given,
            (),
            Mode.EVERY,
        )
    )
    report, seconds, mebibytes = spent(
        lambda: (tally.add([WIDE], [1], Version.V2, data_follow=False), tally.report())[1]
    )
    assert report["people"]["ine"] == 35_000
    assert len(report["faults"]) == MAX_FAULTS
    assert (seconds < 10, mebibytes < 60) == (True, True)
