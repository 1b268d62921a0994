"""Who may change what, what merges may be, and what settings may say: rules without a database."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest

from services.chassis.errors import DomainError, InvalidArgument
from services.directory.domain import staff_member as staff
from services.directory.domain.clinic import (
    MessagingPolicy,
    MessagingSettings,
    SettingsChanges,
    changed_settings,
    new_clinic,
)
from services.directory.domain.duplicates import Signal, signals
from services.directory.domain.errors import (
    EtagStale,
    FullAccessRequired,
    MergeCycle,
    NotOneself,
    OwnerCannotBeDeactivated,
    OwnerRequired,
    ProfileMerged,
    SelfMerge,
    StandardAccessRequired,
)
from services.directory.domain.etag import check_etag, etag_of
from services.directory.domain.merge import check_distinct, check_lives, check_mergeable
from services.directory.domain.profile import (
    ProfileChanges,
    ProfileKind,
    changed_profile,
    new_profile,
)
from services.directory.domain.session import Session, is_worth_writing
from services.directory.domain.staff_member import AccessLevel, StaffChanges, StaffKind
from services.messaging_rule import Override, Side

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def a_member(level=AccessLevel.STANDARD, **facts):
    changes = StaffChanges(
        kind=StaffKind.PRACTITIONER, access_level=level, display_name="Sam", email="s@x.test"
    )
    member = staff.new_staff_member(changes, clinic_id=uuid4(), id=uuid4(), now=NOW)
    return replace(member, **facts)


def a_profile(**changes):
    given = ProfileChanges(**{"display_name": "Pat Doe"} | changes)
    return new_profile(given, clinic_id=uuid4(), id=uuid4(), now=NOW)


def merged(profile, into):
    return replace(profile, merged_into=into.id, merge_id=uuid4())


def test_the_owner_ranks_above_full_access_whatever_the_level_says():
    owner = a_member(AccessLevel.LIMITED, account_owner=True)

    staff.check_full_access(owner)
    staff.check_standard_access(owner)


@pytest.mark.parametrize(
    ("check", "level", "refusal"),
    [
        (staff.check_standard_access, AccessLevel.LIMITED, StandardAccessRequired),
        (staff.check_standard_access, AccessLevel.STANDARD, None),
        (staff.check_full_access, AccessLevel.STANDARD, FullAccessRequired),
        (staff.check_full_access, AccessLevel.FULL, None),
        (staff.check_owner, AccessLevel.FULL, OwnerRequired),
    ],
)
def test_each_level_may_what_it_may(check, level, refusal):
    assert refused_by(check, a_member(level)) is refusal


def refused_by(rule, *arguments, **named):
    try:
        rule(*arguments, **named)
    except DomainError as refusal:
        return type(refusal)
    return None


def test_full_access_changes_everybody_but_the_owner():
    admin, owner = a_member(AccessLevel.FULL), a_member(account_owner=True)

    assert refused_by(staff.check_may_change, admin, a_member()) is None
    assert refused_by(staff.check_may_change, admin, owner) is OwnerRequired
    assert refused_by(staff.check_may_change, owner, owner) is None
    assert refused_by(staff.check_may_change, a_member(), a_member()) is FullAccessRequired


def test_nobody_sets_the_preference_of_another():
    me = uuid4()

    assert refused_by(staff.check_oneself, me, uuid4()) is NotOneself
    assert refused_by(staff.check_oneself, me, me) is None


def test_a_new_member_is_active_and_gets_no_mail():
    member = a_member()

    assert (member.active, member.mail_opted_in_at, member.account_owner) == (True, None, False)


@pytest.mark.parametrize("missing", ["kind", "access_level", "display_name"])
def test_a_new_member_needs_kind_level_and_name(missing):
    changes = StaffChanges(
        kind=StaffKind.PRACTITIONER, access_level=AccessLevel.FULL, display_name="Sam"
    )

    with pytest.raises(InvalidArgument) as refused:
        staff.new_staff_member(
            replace(changes, **{missing: None}), clinic_id=uuid4(), id=uuid4(), now=NOW
        )

    assert refused.value.field == f"staff_member.{missing}"


def test_ticking_again_keeps_the_time_and_ticking_after_unticking_does_not():
    first = staff.opted_in(a_member(), now=NOW)
    later = NOW + timedelta(hours=1)

    assert staff.opted_in(first, now=later).mail_opted_in_at == NOW
    assert staff.opted_in(staff.opted_out(first), now=later).mail_opted_in_at == later


def test_who_leaves_and_returns_is_as_before():
    member = a_member()

    away = staff.deactivated(member, deactivation_id=uuid4(), now=NOW)

    assert not away.active
    assert staff.reactivated(away) == member


def test_the_owner_does_not_leave():
    with pytest.raises(OwnerCannotBeDeactivated):
        staff.deactivated(a_member(account_owner=True), deactivation_id=uuid4(), now=NOW)


def test_a_former_owner_has_full_access():
    former = staff.handed_over(a_member(AccessLevel.LIMITED, account_owner=True))

    assert (former.account_owner, former.access_level) == (False, AccessLevel.FULL)


def test_a_profile_is_not_merged_into_itself():
    pat = a_profile()

    assert refused_by(check_distinct, pat.id, pat.id) is SelfMerge
    assert refused_by(check_distinct, pat.id, uuid4()) is None


def test_two_profiles_that_live_may_merge_whatever_their_kinds():
    patient, contact = a_profile(), a_profile(kind=ProfileKind.CONTACT)

    for primary, secondary in ((patient, contact), (contact, patient)):
        assert refused_by(check_mergeable, primary, secondary, chain=[]) is None


def test_a_primary_that_was_merged_away_is_refused_with_who_survives():
    primary, middle, last = a_profile(), a_profile(), a_profile()

    with pytest.raises(ProfileMerged) as refused:
        check_mergeable(merged(primary, middle), a_profile(), chain=[middle.id, last.id])

    assert refused.value.metadata["surviving_profile_id"] == str(last.id)


def test_a_primary_that_leads_to_the_secondary_would_make_a_cycle():
    primary, middle, secondary, last = (a_profile() for _ in range(4))
    away = merged(primary, middle)

    for chain in ([secondary.id], [middle.id, secondary.id], [middle.id, secondary.id, last.id]):
        assert refused_by(check_mergeable, away, secondary, chain=chain) is MergeCycle


def test_who_is_merged_away_does_not_live():
    away, survivor = a_profile(), a_profile()

    assert refused_by(check_lives, merged(away, survivor), chain=[survivor.id]) is ProfileMerged
    assert refused_by(check_lives, survivor, chain=[]) is None


def test_a_new_profile_is_a_patient_who_inherits_and_receives():
    pat = a_profile()

    assert (pat.kind, pat.override, pat.do_not_email) == (
        ProfileKind.PATIENT,
        Override.INHERIT,
        False,
    )


def test_what_is_not_named_is_not_changed():
    pat = a_profile(email="pat@x.test", phone="555-0100", birth_date="1980-01-01")

    assert changed_profile(pat, ProfileChanges(), now=NOW) == pat
    cleared = changed_profile(pat, ProfileChanges(email="", phone="", birth_date=""), now=NOW)
    assert (cleared.email, cleared.phone, cleared.birth_date) == ("", "", None)


def test_a_contact_becomes_a_patient_under_the_same_id():
    contact = a_profile(kind=ProfileKind.CONTACT)

    patient = changed_profile(contact, ProfileChanges(kind=ProfileKind.PATIENT), now=NOW)

    assert patient == replace(contact, kind=ProfileKind.PATIENT)


def test_duplicates_tell_what_they_share_and_nothing_in_common_is_nothing():
    pat = a_profile(email="Pat@x.test", phone="555-0100", birth_date="1980-01-01")
    twin = a_profile(display_name="PÁT DOE", email="pat@X.test", phone="5550100")

    assert signals(pat, twin) == (Signal.SAME_NAME, Signal.SAME_EMAIL, Signal.SAME_PHONE)
    assert signals(a_profile(), a_profile(display_name="Bo")) == ()


def test_a_new_clinic_has_messaging_off():
    clinic = new_clinic(clinic_id=uuid4(), name="Harbour", now=NOW)

    assert clinic.settings.messaging_policy is MessagingPolicy.OFF
    assert clinic.settings.mail_hold == timedelta(seconds=10)


@pytest.mark.parametrize(
    "changes",
    [
        SettingsChanges(mail_hold=timedelta(0)),
        SettingsChanges(mail_hold=timedelta(seconds=120)),
        SettingsChanges(away_after=timedelta(minutes=3)),
        SettingsChanges(away_after=timedelta(days=30)),
        SettingsChanges(sender_name="Clínica d'Água"),
        SettingsChanges(portal_link_base="https://portal.test"),
        SettingsChanges(portal_link_base="https://portal.test:8443/a/b"),
        SettingsChanges(portal_link_base=""),
    ],
)
def test_settings_within_their_bounds_are_taken(changes):
    changed_settings(MessagingSettings(), changes)


@pytest.mark.parametrize(
    "changes",
    [
        SettingsChanges(mail_hold=timedelta(seconds=-1)),
        SettingsChanges(mail_hold=timedelta(seconds=120, microseconds=1)),
        SettingsChanges(away_after=timedelta(minutes=3, microseconds=-1)),
        SettingsChanges(away_after=timedelta(days=30, microseconds=1)),
        SettingsChanges(sender_name="a" * 101),
        SettingsChanges(sender_name="Harbour\nBcc: x"),
        SettingsChanges(portal_link_base="http://portal.test"),
        SettingsChanges(portal_link_base="javascript:alert(1)"),
        SettingsChanges(portal_link_base="https://"),
        SettingsChanges(portal_link_base="https://portal.test/?next="),
        SettingsChanges(portal_link_base="https://portal.test/#a"),
        SettingsChanges(portal_link_base="https://user@portal.test"),
        SettingsChanges(portal_link_base="https://portal.test:99999"),
        SettingsChanges(portal_link_base="https://por tal.test"),
        SettingsChanges(portal_link_base="https://portal.test\r\nX: y"),
        SettingsChanges(portal_link_base="https://[::1"),
        SettingsChanges(portal_link_base="https://portal.test/" + "a" * 500),
    ],
)
def test_settings_out_of_their_bounds_are_refused_by_the_fields_name(changes):
    with pytest.raises(InvalidArgument) as refused:
        changed_settings(MessagingSettings(), changes)

    assert refused.value.field.startswith("messaging_settings.")


def test_away_after_is_taken_away():
    settings = changed_settings(MessagingSettings(), SettingsChanges(away_after=timedelta(hours=1)))

    assert changed_settings(settings, SettingsChanges(no_away_after=True)).away_after is None


def test_an_etag_is_of_one_version_and_none_asks_for_no_check():
    check_etag("", 7)
    check_etag(etag_of(7), 7)

    with pytest.raises(EtagStale):
        check_etag(etag_of(6), 7)


def test_a_sign_of_life_is_written_once_a_minute():
    session = Session(
        clinic_id=uuid4(),
        id=uuid4(),
        side=Side.STAFF,
        person_id=uuid4(),
        opened_at=NOW,
        last_activity_at=NOW,
        ended_at=None,
        end_cause=None,
        version=1,
    )

    assert not is_worth_writing(session, now=NOW + timedelta(seconds=59))
    assert is_worth_writing(session, now=NOW + timedelta(seconds=60))


def test_a_birth_date_is_kept_as_a_day():
    assert a_profile(birth_date="1980-01-01").birth_date == date(1980, 1, 1)
