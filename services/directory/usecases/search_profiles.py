"""People to start a conversation with: patients and contacts, never staff (R5)."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.chassis.errors import InvalidArgument
from services.chassis.identity import Caller
from services.directory.domain.profile import Profile
from services.directory.storage.profiles import NamePlace, place_of
from services.directory.storage.sessions import Standing
from services.directory.storage.unit_of_work import Transaction
from services.directory.usecases.access import access_standing
from services.messaging_rule import Facts, WhyNot, why_not_message

MOST_QUERY = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchProfiles:
    """`query` is what was typed: parts of names, of an address or of a number, in any order."""

    caller: Caller
    query: str
    page_size: int
    after: NamePlace | None


@dataclass(frozen=True, slots=True)
class Hit:
    """A profile, and why the caller may not message it, if so."""

    profile: Profile
    why_not: WhyNot | None


@dataclass(frozen=True, slots=True)
class Page:
    """`next` is where the following page begins, or None at the end."""

    hits: Sequence[Hit]
    next: NamePlace | None


async def search_profiles(tx: Transaction, command: SearchProfiles) -> Page:
    """Profiles that live, by name; a merged-away one is found as the profile that survives it."""
    if len(command.query) > MOST_QUERY:
        raise InvalidArgument(f"query has at most {MOST_QUERY} characters", field="query")
    standing = access_standing(tx)
    found = await tx.profiles.search(command.query, after=command.after, most=command.page_size + 1)
    shown = [Hit(profile, _why_not(profile, standing)) for profile in found[: command.page_size]]
    more = len(found) > len(shown)
    return Page(shown, place_of(shown[-1].profile) if more else None)


def _why_not(profile: Profile, standing: Standing) -> WhyNot | None:
    facts = Facts(
        clinic_allows=standing.clinic_allows,
        staff_active=standing.staff_active,
        override=profile.override,
        profile_merged=profile.merge_id is not None,
        do_not_email=profile.do_not_email,
    )
    return why_not_message(facts)
