"""Every requirement that a test shows to hold, from every module that marks some."""

from __future__ import annotations

from importlib import import_module

from tests.standard.requirement import REGISTRY, Requirement

MODULES = (
    "tests.standard.test_statements",
    "tests.standard.test_statement_resource",
    "tests.standard.test_document_resources",
    "tests.standard.test_other_resources",
    "tests.standard.test_requests",
    "tests.standard.test_attachments",
    "tests.web.test_documents",
)


def requirements() -> list[Requirement]:
    """In the order of the sections, those of 2.0 alone last."""
    for name in MODULES:
        import_module(name)  # marks fill the registry
    return sorted(REGISTRY, key=_order)


def _order(one: Requirement) -> tuple[bool, bool, list[int], int]:
    part, _, section = one.section.rpartition(" ")
    place = [int(each) for each in (section or one.ieee).split(".") if each]
    # Modules may have been imported in another order, by whoever runs the tests.
    module = one.test.partition(".py")[0].replace("/", ".")
    return not section, part == "Communication", place, MODULES.index(module)
