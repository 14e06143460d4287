"""Every page and form behind sign-in, with the roles that may use it: the table over which tests of all of them run.

A new one is a line of ``TABLE``; ``test_no_page_is_missing_from_the_table`` says which are missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from app.access.roles import Role


class Row(NamedTuple):
    """A page, or a form.

    Attributes:
        endpoint: Its name, without that of the blueprint.
        path: Below the language.
        roles: Who may use it.
        fields: Of a form, what it sends; None: it is a page.
        status: The answer to those who may.
    """

    endpoint: str
    path: str
    roles: tuple[Role, ...]
    fields: Mapping[str, str] | None = None
    status: int = 200

    @property
    def seen(self) -> bool:
        """True of a page, which a browser shows; false of a form, and of a file that is saved."""
        return self.fields is None and self.status == 200 and "." not in self.path


EVERYBODY = tuple(Role)
PRODUCER = (Role.PRODUCER,)
FAMILY = (Role.LEARNER, Role.GUARDIAN)
SCHOOLS = (Role.SCHOOL_HEAD, Role.TERRITORY)
NO_LINK = 32 * "0"
RESEARCH = (Role.RESEARCHER, Role.STATISTICIAN)
DPO = (Role.DPO,)
# Of a request, an entry, a source or a certificate that is not there: what they do with one, tests of their own say.
_REQUEST = "dpo/requests/r-000000000000"
_NOTHING = "00000000-0000-4000-8000-000000000000"
TABLE = (
    Row("operations", "operations", (Role.OPERATOR,)),
    Row("jobs", "operations/jobs", (Role.OPERATOR,)),
    Row("job", "operations/jobs/retention", (Role.OPERATOR,)),
    Row("all_sources", "operations/sources", (Role.OPERATOR,)),
    Row("new_source", "operations/sources/new", (Role.OPERATOR,)),
    Row("add_source", "operations/sources/new", (Role.OPERATOR,), {}, 422),
    Row("one_source", "operations/sources/tutor", (Role.OPERATOR,)),
    Row("close_source", "operations/sources/tutor", (Role.OPERATOR,), {}, 422),
    Row("source", "source", PRODUCER),
    Row("source_of", "sources/tutor", PRODUCER),
    Row("source_check", "source/check", PRODUCER),
    Row("source_check_of", "sources/tutor/check", PRODUCER),
    Row("check_statements", "sources/tutor/check", PRODUCER, {"statements": "[]"}),
    Row("source_keys", "source/keys", PRODUCER),
    Row("source_keys_of", "sources/tutor/keys", PRODUCER),
    Row("change_keys", "sources/tutor/keys", PRODUCER, {"act": "make", "label": "test", "once": "0" * 32}),
    Row("source_profiles", "source/profiles", PRODUCER),
    Row("source_profiles_of", "sources/tutor/profiles", PRODUCER),
    Row("source_connection", "source/connection", PRODUCER),
    Row("source_connection_of", "sources/tutor/connection", PRODUCER),
    Row("source_csv", "sources/tutor/arrivals.csv", PRODUCER),
    Row("source_specification", "sources/tutor/arrivals.vl.json", PRODUCER),
    Row("account", "account", EVERYBODY),
    Row("password", "account/password", EVERYBODY),
    Row("change_password", "account/password", EVERYBODY, {"current": "x"}, 422),
    Row("new_second_factor", "account/second-factor", EVERYBODY),
    Row("renew_second_factor", "account/second-factor", EVERYBODY, {"current": "x"}, 422),
    Row("new_recovery_codes", "account/recovery-codes", EVERYBODY),
    Row("renew_recovery_codes", "account/recovery-codes", EVERYBODY, {"current": "x"}, 422),
    Row("end_sessions", "account/end-sessions", EVERYBODY, {}, 303),
    Row("choose_purpose", "my/purpose", EVERYBODY, {"purpose": "audit"}, 303),
    Row("users", "users", (Role.OPERATOR,)),
    Row("new_user", "users/new", (Role.OPERATOR,)),
    Row("add_user", "users/new", (Role.OPERATOR,), {}, 422),
    Row("user", "users/u-0", (Role.OPERATOR,), None, 404),
    *(
        Row(endpoint, f"users/u-0/{act}", (Role.OPERATOR,), {}, 404)
        for endpoint, act in (
            ("give_role", "give"),
            ("take_role", "take"),
            ("disable_user", "disable"),
            ("enable_user", "enable"),
            ("invite_user", "invite"),
            ("reset_user", "reset"),
        )
    ),
    Row("family", "family", FAMILY),
    Row("family_requests", "family/requests", FAMILY),
    Row("family_code", "family/code", FAMILY),
    Row("family_give_code", "family/code", FAMILY, {"code": "0000-0000-0000"}, 422),
    # Of a link that is not theirs.
    Row("family_kept", f"family/{NO_LINK}", FAMILY, status=404),
    Row("family_readers", f"family/{NO_LINK}/readers", FAMILY, status=404),
    Row("family_ask", f"family/{NO_LINK}/ask/access", FAMILY, status=404),
    Row("family_asked", f"family/{NO_LINK}/ask/access", FAMILY, {"text": ""}, 404),
    Row("family_withdraw", f"family/{NO_LINK}/requests/r-000000000000/withdraw", FAMILY, {}, 404),
    Row("family_copy", f"family/{NO_LINK}/requests/r-000000000000/copy", FAMILY, {}, 404),
    Row("schools", "schools", SCHOOLS),
    Row("school", "schools/0750001A", SCHOOLS),
    Row("notices", "notices", SCHOOLS),
    Row("notice", "notices/p2ia", SCHOOLS),
    Row("explore", "explore", RESEARCH),
    Row("explore_csv", "explore/cells.csv", RESEARCH),
    Row("explore_parquet", "explore/cells.parquet", RESEARCH),
    Row("explore_specification", "explore/chart.vl.json", RESEARCH),
    Row("dpo", "dpo", DPO),
    Row("dpo_requests", "dpo/requests", DPO),
    Row("dpo_open_request", "dpo/requests/open", DPO),
    Row("dpo_request_opened", "dpo/requests/open", DPO, {}, 422),
    Row("dpo_request", _REQUEST, DPO, status=404),
    Row("dpo_request_step", _REQUEST, DPO, {"act": "find"}, 404),
    Row("dpo_request_act", f"{_REQUEST}/erase", DPO, status=404),
    Row("dpo_request_acted", f"{_REQUEST}/erase", DPO, {"sure": "yes"}, 404),
    Row("dpo_receipt", f"{_REQUEST}/receipt", DPO, status=404),
    Row("dpo_proof", f"{_REQUEST}/proofs/{_NOTHING}", DPO, status=404),
    Row("dpo_register", "dpo/register", DPO),
    Row("dpo_register_new", "dpo/register/new", DPO),
    Row("dpo_register_add", "dpo/register/new", DPO, {}, 422),
    Row("dpo_register_entry", "dpo/register/p2ia", DPO),
    Row("dpo_register_edit", "dpo/register/p2ia/edit", DPO),
    Row("dpo_register_change", "dpo/register/p2ia/edit", DPO, {}, 422),
    Row("dpo_register_end", "dpo/register/p2ia/end", DPO),
    Row("dpo_register_ended", "dpo/register/p2ia/end", DPO, {}, 422),
    Row("dpo_retention", "dpo/retention", DPO),
    Row("dpo_ages_csv", "dpo/retention/ages.csv", DPO),
    Row("dpo_ages_specification", "dpo/retention/ages.vl.json", DPO),
    Row("dpo_delete_data", "dpo/retention/sources/tutor/delete", DPO),
    Row("dpo_data_deleted", "dpo/retention/sources/tutor/delete", DPO, {}, 422),
    Row("dpo_certificate", f"dpo/certificates/{_NOTHING}", DPO, status=404),
    Row("dpo_certificate_file", f"dpo/certificates/{_NOTHING}/file", DPO, status=404),
    Row("dpo_audit", "dpo/audit", DPO),
    Row("dpo_audit_searched", "dpo/audit", DPO, {}),
    Row("dpo_recipients", "dpo/recipients", DPO),
    Row("dpo_recipients_of", "dpo/recipients", DPO, {}, 422),
    Row("dpo_year", "dpo/year", DPO),
    Row("dpo_year_of", "dpo/year/2026", DPO),
    Row("dpo_year_file", "dpo/year/2026/figures.csv", DPO),
    # The last: it ends the session.
    Row("sign_out", "sign-out", EVERYBODY, {}, 303),
)
DOOR = {
    "sign_in": "sign-in",
    "second_factor": "sign-in/second-factor",
    "set_up": "sign-in/set-up",
    "invitation": "invitation",
}
"""Pages, each with a form, of those who are not signed in yet: paths below the language by endpoint."""
OPEN = frozenset({"my", "to_provider", "from_provider", *DOOR, *(f"{endpoint}_send" for endpoint in DOOR)})
"""Endpoints that are for everybody, signed in or not."""
