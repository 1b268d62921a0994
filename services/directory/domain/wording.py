"""What people may be called and how they are reached, as it is typed (R34, header injection).

Names of real people are wide: one word, one letter, apostrophes, any script. What is refused is
what no name holds and what breaks a mail's header: control characters, line and paragraph
separators, and the marks that turn the order of the letters around.
"""

import re
import unicodedata
from datetime import date, datetime, timedelta

from services.chassis.errors import InvalidArgument

MOST_NAME = 200
MOST_SENDER_NAME = 100
MOST_EMAIL = 254
_MOST_LOCAL_PART = 64
_MOST_LABEL = 63
_PHONE_DIGITS = range(3, 16)

_FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_ATOM = r"[\w!#$%&'*+/=?^`{|}~-]+"
_LOCAL_PART = re.compile(rf"{_ATOM}(\.{_ATOM})*")
_LABEL = re.compile(r"[^\W_](([^\W_]|-)*[^\W_])?")
_PHONE = re.compile(r"[0-9 +()\-./]*")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# Where a new day begins first: a child born there today was not born tomorrow.
_EARLIEST_ZONE = timedelta(hours=14)


def checked_name(text: str, *, field: str, most: int = MOST_NAME) -> str:
    """A name without the white space around it; raises InvalidArgument with the field's name."""
    name = checked_optional_name(text, field=field, most=most)
    if not any(char.isalnum() for char in name):
        raise InvalidArgument(f"{field} needs at least one letter or digit", field=field)
    return name


def checked_optional_name(text: str, *, field: str, most: int = MOST_NAME) -> str:
    """As `checked_name`, or nothing."""
    _refuse_unprintable(text, field)
    name = text.strip()
    if len(name) > most:
        raise InvalidArgument(f"{field} has at most {most} characters", field=field)
    return name


def _refuse_unprintable(text: str, field: str) -> None:
    for char in text:
        if unicodedata.category(char) in _FORBIDDEN_CATEGORIES or char in _TURNING:
            raise InvalidArgument(f"{field} must not hold control characters", field=field)


def checked_email(text: str, *, field: str) -> str:
    """Exactly one address as it is used, such as `o'brien+clinic@example.org`, or nothing.

    No quoted local parts, comments or display names: one address has one reading.
    """
    _refuse_unprintable(text, field)
    address = text.strip()
    if address and not _is_address(address):
        raise InvalidArgument(f"{field} must be exactly one mail address", field=field)
    return address


def _is_address(address: str) -> bool:
    local, at, domain = address.rpartition("@")
    labels = domain.split(".")
    return (
        bool(at)
        and len(address) <= MOST_EMAIL
        and len(local) <= _MOST_LOCAL_PART
        and _LOCAL_PART.fullmatch(local) is not None
        and len(labels) > 1
        and all(len(label) <= _MOST_LABEL and _LABEL.fullmatch(label) for label in labels)
    )


def email_key(address: str) -> str:
    """What two spellings of one address have in common; tags are part of an address (I25)."""
    return address.strip().casefold()


def checked_phone(text: str, *, field: str) -> str:
    """A number as dialled, with 3 to 15 digits, or nothing."""
    number = text.strip(" ")
    digits = len(phone_key(number))
    if number and (_PHONE.fullmatch(number) is None or digits not in _PHONE_DIGITS):
        raise InvalidArgument(f"{field} holds 3 to 15 digits, spaces and + ( ) - . /", field=field)
    return number


def phone_key(number: str) -> str:
    """The digits, which two ways to write one number have in common."""
    return "".join(char for char in number if char.isdigit())


def checked_birth_date(text: str, *, field: str, now: datetime) -> date | None:
    """A day of the calendar that has begun somewhere on earth, or nothing."""
    if not text:
        return None
    try:
        day = date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None:
        raise InvalidArgument(f"{field} must be a date in the form YYYY-MM-DD", field=field)
    if day > (now + _EARLIEST_ZONE).date():
        raise InvalidArgument(f"{field} must not be in the future", field=field)
    return day
