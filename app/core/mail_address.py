"""The form of an e-mail address that messages are sent to or come from: of one mailbox, in ASCII.

What settings take is an address that the mail server is asked about.
"""

from __future__ import annotations

import re
from typing import Final

MAX_ADDRESS: Final = 254
"""Characters of an address (RFC 5321 4.5.3.1.3, without the angle brackets)."""
# RFC 5321 4.1.2, but for quoted local parts and addresses of hosts, which nobody has.
_LOCAL: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS: Final = re.compile(rf"{_LOCAL}@{_LABEL}(?:\.{_LABEL})*")


def is_mail_address(text: str) -> bool:
    """True of the address of one mailbox."""
    return len(text) <= MAX_ADDRESS and _ADDRESS.fullmatch(text) is not None
