"""Profiles: made, changed, found, compared (R3, R5, R41, I30)."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest

from clinic.directory.v1 import clinic_pb2, profile_pb2
from tests.support.directory_world import FULL, LIMITED, STANDARD
from tests.support.grpc_world import failure, reason

PATIENT = profile_pb2.PROFILE_KIND_PATIENT
CONTACT = profile_pb2.PROFILE_KIND_CONTACT
ALLOW = profile_pb2.MESSAGING_OVERRIDE_ALLOW
BLOCK = profile_pb2.MESSAGING_OVERRIDE_BLOCK
INHERIT = profile_pb2.MESSAGING_OVERRIDE_INHERIT
DENIED = grpc.StatusCode.PERMISSION_DENIED
INVALID = grpc.StatusCode.INVALID_ARGUMENT


async def test_a_profile_is_kept_as_it_was_typed(world, owner):
    made = await owner.create_profile(
        "Siobhán Ní O'Brien-Sørensen",
        preferred_name="Shiv",
        email="shiv.o'brien+clinic@example.org",
        phone="+353 (0)1 555-0100",
        birth_date="1984-02-29",
        do_not_email=True,
    )

    assert await owner.profile(made.profile_id) == made
    assert (made.display_name, made.phone) == ("Siobhán Ní O'Brien-Sørensen", "+353 (0)1 555-0100")
    assert (made.birth_date, made.do_not_email) == ("1984-02-29", True)
    assert made.messaging_override == INHERIT


async def test_standard_access_makes_and_changes_profiles_and_limited_does_not(world, owner):
    standard = await world.staff(owner.clinic_id, STANDARD)
    limited = await world.staff(owner.clinic_id, LIMITED)
    made = await standard.create_profile()
    await standard.update_profile(made.profile_id, display_name="Pat Roe")

    for call in (
        limited.create_profile(),
        limited.update_profile(made.profile_id, display_name="X"),
    ):
        error = await failure(call)

        assert (error.code(), reason(error)) == (DENIED, "STANDARD_ACCESS_REQUIRED")
    assert (await limited.profile(made.profile_id)).display_name == "Pat Roe"


async def test_only_full_access_sets_an_override(world, owner):
    full = await world.staff(owner.clinic_id, FULL)
    standard = await world.staff(owner.clinic_id, STANDARD)
    made = await standard.create_profile(messaging_override=INHERIT)

    for call in (
        standard.create_profile(messaging_override=ALLOW),
        standard.update_profile(made.profile_id, messaging_override=ALLOW),
    ):
        error = await failure(call)

        assert (error.code(), reason(error)) == (DENIED, "FULL_ACCESS_REQUIRED")
    answer = await full.update_profile(made.profile_id, messaging_override=ALLOW)
    assert (answer.profile.messaging_override, answer.applied) == (ALLOW, True)


async def test_an_override_waits_for_conversations_and_a_name_does_not(world, owner):
    made = await owner.create_profile()
    world.conversations.confirms = False
    world.conversations.told.clear()

    renamed = await owner.update_profile(made.profile_id, display_name="Pat Roe")
    blocked = await owner.update_profile(made.profile_id, messaging_override=BLOCK)
    silenced = await owner.update_profile(made.profile_id, do_not_email=True)

    assert (renamed.applied, blocked.applied, silenced.applied) == (True, False, False)
    assert [state.subject.version for state in world.conversations.told] == [3, 4]


async def test_who_hears_of_do_not_email_only_when_it_is_off_still_hears_that_it_was_on(
    world, owner
):
    made = await owner.create_profile()

    await owner.update_profile(made.profile_id, do_not_email=True)
    await owner.update_profile(made.profile_id, do_not_email=False)
    await owner.update_profile(made.profile_id, do_not_email=False, display_name="Pat Roe")

    new, silenced, mailable, renamed = world.events_of(made.profile_id)
    assert not (new.HasField("mailable_time") or silenced.HasField("mailable_time"))
    assert mailable.HasField("mailable_time")
    assert renamed.mailable_time == mailable.mailable_time


async def test_every_change_raises_the_version_and_only_names_raise_that_of_the_details(
    world, owner
):
    made = await owner.create_profile()
    await owner.update_profile(made.profile_id, do_not_email=True)
    await owner.update_profile(made.profile_id, email="pat@example.org")
    await owner.update_profile(made.profile_id, email="pat@example.org")

    versions = [
        (state.version, state.details_version) for state in world.events_of(made.profile_id)
    ]

    assert versions == [(1, 1), (2, 1), (3, 2)]


async def test_a_contact_becomes_a_patient_and_stays_the_same_profile(world, owner):
    made = await owner.create_profile(kind=CONTACT)

    changed = (await owner.update_profile(made.profile_id, kind=PATIENT)).profile

    assert (changed.profile_id, changed.kind) == (made.profile_id, PATIENT)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("display_name", ""),
        ("display_name", "Pat\r\nBcc: all@example.org"),
        ("preferred_name", "Pat\x00"),
        ("email", "a@example.org, b@example.org"),
        ("email", "a@example.org\nBcc: b@example.org"),
        ("phone", "call me"),
        ("birth_date", "1984-02-30"),
        ("birth_date", (datetime.now(UTC) + timedelta(days=3)).date().isoformat()),
        ("kind", 0),
        ("messaging_override", 9),
    ],
)
async def test_what_cannot_be_is_refused_by_its_fields_name(world, owner, field, value):
    made = await owner.create_profile()

    error = await failure(owner.update_profile(made.profile_id, **{field: value}))

    assert (error.code(), reason(error)) == (INVALID, "FIELD_INVALID")
    assert field in str(error.details())
    assert await owner.profile(made.profile_id) == made


async def test_a_mask_names_something_that_can_be_changed(world, owner):
    made = await owner.create_profile()

    for paths in ([], ["merge_id"], ["*"], ["display_name", "etag"]):
        error = await failure(
            owner.call(
                "UpdateProfile",
                profile_id=made.profile_id,
                profile={"display_name": "X"},
                update_mask={"paths": paths},
            )
        )

        assert error.code() == INVALID


async def test_a_repeat_of_a_creation_returns_the_profile_as_it_now_is(world, owner):
    create = {
        "profile": {"kind": PATIENT, "display_name": "Pat Doe"},
        "request_id": str(uuid4()),
    }
    made = (await owner.call("CreateProfile", **create)).profile
    await owner.update_profile(made.profile_id, display_name="Pat Roe")

    repeat = (await owner.call("CreateProfile", **create)).profile

    assert (repeat.profile_id, repeat.display_name) == (made.profile_id, "Pat Roe")


async def test_people_are_found_by_any_part_of_what_one_may_know_of_them(world, owner):
    made = await owner.create_profile(
        "José Núñez-O'Hara",
        preferred_name="Pepe",
        email="jnunez@example.org",
        phone="555 010-7788",
    )
    other = await owner.create_profile("Mia Wong")

    for query in ("jo", "nunez", "ÚÑE", "hara jose", "pepe", "jnunez@exam", "5550107", "010"):
        found = [hit.profile.profile_id for hit in await owner.search(query)]
        assert found == [made.profile_id], query
    for query in ("jose wong", "unez mia", "xyz", "os", "!!"):
        assert await owner.search(query) == [], query
    assert [hit.profile.profile_id for hit in await owner.search("w")] == [other.profile_id]


async def test_a_page_is_whole_however_often_its_names_meet_one_word(world, owner):
    """Each of them meets it more often than one is expected to."""
    words = "ana anabel anais ananda anastasia anatol anatole anand"
    for n in range(12):
        await owner.create_profile(f"{words} {n:02}")

    first = await owner.call("SearchProfiles", query="ana", page_size=5)
    second = await owner.call(
        "SearchProfiles", query="ana", page_size=5, page_token=first.next_page_token
    )
    third = await owner.call(
        "SearchProfiles", query="ana", page_size=5, page_token=second.next_page_token
    )

    found = [hit.profile.display_name[-2:] for p in (first, second, third) for hit in p.results]
    assert found == [f"{n:02}" for n in range(12)]
    assert third.next_page_token == ""


async def test_a_new_name_is_found_and_the_old_one_no_longer(world, owner):
    made = await owner.create_profile("Pat Doe")
    await owner.update_profile(made.profile_id, display_name="Pat Roe")

    assert await owner.search("doe") == []
    assert [hit.profile.profile_id for hit in await owner.search("roe")] == [made.profile_id]


async def test_staff_are_never_found(world, owner):
    await world.staff(owner.clinic_id, display_name="Findable Smith")

    assert await owner.search("findable") == []


async def test_search_says_whether_and_why_not_the_caller_may_message(world, owner):
    async def answers():
        hits = await owner.search("pat")
        return [(hit.can_message, hit.cannot_message_reason) for hit in hits]

    for name, facts in (
        ("Pat A", {}),
        ("Pat B", {"messaging_override": ALLOW}),
        ("Pat C", {"messaging_override": BLOCK}),
        ("Pat D", {"do_not_email": True}),
    ):
        await owner.create_profile(name, **facts)

    disabled = (False, profile_pb2.CANNOT_MESSAGE_REASON_MESSAGING_DISABLED)
    blocked = (False, profile_pb2.CANNOT_MESSAGE_REASON_MESSAGING_BLOCKED)
    no_mail = (False, profile_pb2.CANNOT_MESSAGE_REASON_RECIPIENT_DO_NOT_EMAIL)
    assert await answers() == [disabled, (True, 0), blocked, disabled]
    await owner.update_settings(messaging_policy=clinic_pb2.MESSAGING_POLICY_ALLOWED)
    assert await answers() == [(True, 0), (True, 0), blocked, no_mail]


async def test_search_pages_hold_everybody_once_in_the_order_of_names(world, owner):
    for number in (3, 1, 5, 2, 4):
        await owner.create_profile(f"Pat {number}")

    pages: list[Any] = []
    token = ""
    while not pages or token:
        pages.append(await owner.call("SearchProfiles", query="pat", page_size=2, page_token=token))
        token = pages[-1].next_page_token

    names = [hit.profile.display_name for page in pages for hit in page.results]
    assert names == [f"Pat {number}" for number in (1, 2, 3, 4, 5)]


async def test_a_page_token_belongs_to_its_query_and_its_caller(world, owner):
    admin = await world.staff(owner.clinic_id)
    for number in (1, 2):
        await owner.create_profile(f"Pat {number}")
    page = await owner.call("SearchProfiles", query="pat", page_size=1)

    for call in (
        owner.call("SearchProfiles", query="p", page_token=page.next_page_token),
        admin.call("SearchProfiles", query="pat", page_token=page.next_page_token),
    ):
        assert reason(await failure(call)) == "PAGE_TOKEN_INVALID"


async def test_likely_duplicates_share_an_address_or_a_name_and_a_birth_date(world, owner):
    given = {"email": "pat@example.org", "phone": "555-0100", "birth_date": "1980-01-01"}
    pat = await owner.create_profile("Pat Doe", **given)
    same = await owner.create_profile("PAT DÖE", **given | {"phone": "(555) 0100"})
    namesake = await owner.create_profile("pat doe", birth_date="1980-01-01")
    relative = await owner.create_profile("Ann Doe", email="PAT@example.org")
    await owner.create_profile("Pat Doe", birth_date="1990-01-01")
    await owner.create_profile("Bo Roe", phone="555-0100")
    await owner.create_profile("Pat Doe")

    first = await owner.call("ListLikelyDuplicates", profile_id=pat.profile_id, page_size=2)
    second = await owner.call(
        "ListLikelyDuplicates", profile_id=pat.profile_id, page_token=first.next_page_token
    )

    found = [
        (likely.profile.profile_id, len(likely.signals))
        for page in (first, second)
        for likely in page.likely_duplicates
    ]
    assert found == [(same.profile_id, 4), (namesake.profile_id, 2), (relative.profile_id, 1)]
    told = await world.machine(
        "ListLikelyDuplicates",
        name="service:conversations",
        clinic_id=owner.clinic_id,
        profile_id=pat.profile_id,
    )
    assert [likely.profile_id for likely in told.likely_duplicates] == [id for id, _ in found]


async def test_profiles_without_anything_in_common_are_no_duplicates(world, owner):
    first, _ = await owner.create_profile("A B"), await owner.create_profile("C D")

    answer = await owner.call("ListLikelyDuplicates", profile_id=first.profile_id)

    assert list(answer.likely_duplicates) == []
