"""A clinic and how it uses messaging (R1 to R3)."""

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import urlsplit
from uuid import UUID

from services.chassis.errors import InvalidArgument
from services.directory.domain.wording import (
    MOST_SENDER_NAME,
    checked_name,
    checked_optional_name,
)

MAIL_HOLD_DEFAULT = timedelta(seconds=10)
_MAIL_HOLD_MOST = timedelta(seconds=120)
# Activity is written down once a minute: who is active counts as here, whatever was lost.
_AWAY_AFTER_LEAST = timedelta(minutes=3)
_AWAY_AFTER_MOST = timedelta(days=30)
_MOST_LINK_BASE = 500
_LINK = re.compile(r"[!-~]+", re.ASCII)


class MessagingPolicy(StrEnum):
    """The default for every profile whose own override is INHERIT."""

    OFF = "OFF"
    ALLOWED = "ALLOWED"


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagingSettings:
    """`away_after` None: a session counts as signed in until it ends (I20)."""

    messaging_policy: MessagingPolicy = MessagingPolicy.OFF
    portal_link_base: str = ""
    mail_hold: timedelta = MAIL_HOLD_DEFAULT
    sender_name: str = ""
    away_after: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Clinic:
    """`details_version` counts the changes of what mails are made from, `settings_version` those
    of the settings."""

    clinic_id: UUID
    name: str
    settings: MessagingSettings
    version: int
    details_version: int
    settings_version: int
    created_at: datetime

    @property
    def id(self) -> UUID:
        return self.clinic_id

    @property
    def sender_name(self) -> str:
        """The name that mails are sent in, never empty."""
        return self.settings.sender_name or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsChanges:
    """What to change; None leaves a setting as it is, `no_away_after` takes that one away."""

    messaging_policy: MessagingPolicy | None = None
    portal_link_base: str | None = None
    mail_hold: timedelta | None = None
    sender_name: str | None = None
    away_after: timedelta | None = None
    no_away_after: bool = False


def new_clinic(*, clinic_id: UUID, name: str, now: datetime) -> Clinic:
    """A clinic as first saved: messaging is off (R1)."""
    return Clinic(
        clinic_id=clinic_id,
        name=checked_name(name, field="clinic_name"),
        settings=MessagingSettings(),
        version=1,
        details_version=1,
        settings_version=1,
        created_at=now,
    )


def renamed(clinic: Clinic, name: str) -> Clinic:
    """The clinic under this name. Raises InvalidArgument for a name that cannot be one."""
    return replace(clinic, name=checked_name(name, field="clinic.name"))


def changed_settings(settings: MessagingSettings, changes: SettingsChanges) -> MessagingSettings:
    """The settings after these changes. Raises InvalidArgument with the field's name."""
    away_after = settings.away_after if changes.away_after is None else changes.away_after
    changed = MessagingSettings(
        messaging_policy=changes.messaging_policy or settings.messaging_policy,
        portal_link_base=_or(changes.portal_link_base, settings.portal_link_base),
        mail_hold=settings.mail_hold if changes.mail_hold is None else changes.mail_hold,
        sender_name=_or(changes.sender_name, settings.sender_name),
        away_after=None if changes.no_away_after else away_after,
    )
    return _checked(changed)


def _or(changed: str | None, current: str) -> str:
    return current if changed is None else changed


def _checked(settings: MessagingSettings) -> MessagingSettings:
    if not timedelta(0) <= settings.mail_hold <= _MAIL_HOLD_MOST:
        raise InvalidArgument("mail_hold is 0 to 120 seconds", field="messaging_settings.mail_hold")
    away = settings.away_after
    if away is not None and not _AWAY_AFTER_LEAST <= away <= _AWAY_AFTER_MOST:
        raise InvalidArgument(
            "away_after is 3 minutes to 30 days, or absent", field="messaging_settings.away_after"
        )
    sender_name = checked_optional_name(
        settings.sender_name, field="messaging_settings.sender_name", most=MOST_SENDER_NAME
    )
    link_base = _checked_link_base(settings.portal_link_base)
    return replace(settings, sender_name=sender_name, portal_link_base=link_base)


def _checked_link_base(text: str) -> str:
    """An https URL that links are appended to, without the slash at its end, or nothing."""
    field = "messaging_settings.portal_link_base"
    base = text.strip(" ").rstrip("/")
    if base and not _is_link_base(base):
        raise InvalidArgument(f"{field} is an https URL without query and fragment", field=field)
    return base


def _is_link_base(base: str) -> bool:
    if len(base) > _MOST_LINK_BASE or _LINK.fullmatch(base) is None:
        return False
    try:
        url = urlsplit(base)
        port_is_valid = url.port is None or url.port > 0
    except ValueError:
        return False
    return (
        url.scheme == "https"
        and bool(url.hostname)
        and port_is_valid
        and url.username is None
        and "?" not in base
        and "#" not in base
    )
