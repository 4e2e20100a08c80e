"""What is wrong with a field of the portal's forms, in words; empty where nothing is."""

from __future__ import annotations

import re

from flask_babel import gettext

from mpesa_integrations.core.markets.mozambique import normalise_msisdn

SHORTEST_PASSWORD = 10
_LONGEST_TEXT = 100
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)*")
_USER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,29}")
_OPERATOR_PREFIXES = ("82", "83", "84", "85", "86", "87")


def email_problem(email: str) -> str:
    """What is wrong with an e-mail address."""
    if len(email) <= 254 and _EMAIL.fullmatch(email.strip()):
        return ""
    return str(gettext("Write an e-mail address, as in ana@example.com."))


def phone_problem(phone: str) -> str:
    """What is wrong with a mobile number, of any operator of the country."""
    try:
        to_msisdn(phone)
    except ValueError:
        return str(gettext("Write a mobile number, as in 84 123 4567."))
    return ""


def to_msisdn(phone: str) -> str:
    """A mobile number as an MSISDN. Raises a ValueError where `phone_problem` has words."""
    return normalise_msisdn(phone, _OPERATOR_PREFIXES)


def password_problem(password: str) -> str:
    """What is wrong with a new password."""
    if len(password) >= SHORTEST_PASSWORD:
        return ""
    return str(gettext("Use at least %(count)s characters.", count=SHORTEST_PASSWORD))


def user_name_problem(user_name: str) -> str:
    """What is wrong with a user name; none at all is right, too."""
    if not user_name or _USER_NAME.fullmatch(user_name):
        return ""
    return str(
        gettext(
            "Use 3 to 30 letters and digits, . _ or - among them, as in ana.macuacua; or nothing."
        )
    )


def text_problem(text: str) -> str:
    """What is wrong with a name, of a person or a company."""
    if len(text) > _LONGEST_TEXT:
        return str(gettext("This has %(count)s characters; use 100 at most.", count=len(text)))
    if not text.isprintable():
        return str(gettext("Write it on one line, without control characters."))
    return ""
