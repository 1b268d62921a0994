"""Merges: chains, any order, two at once, each refusal by its name (R48 to R52, I4 to I8, I29)."""

import asyncio
from itertools import permutations
from uuid import uuid4

import grpc
import pytest

from clinic.directory.v1 import profile_pb2, session_pb2
from services.chassis.interceptors.status import error_info
from tests.support.directory_world import STANDARD
from tests.support.grpc_world import failure, reason

REFUSED = grpc.StatusCode.FAILED_PRECONDITION


async def people(owner, *names):
    return [await owner.create_profile(name) for name in names]


async def merged_into(owner, profile):
    return (await owner.profile(profile.profile_id)).merged_into_profile_id


def metadata(error):
    info = error_info(error)
    assert info is not None
    return dict(info.metadata)


async def test_the_secondary_is_merged_away_and_the_primary_stays_as_it_is(world, owner):
    pat, twin = await people(owner, "Pat", "Twin")

    merge = await owner.merge(twin, into=pat)

    assert await owner.profile(pat.profile_id) == pat
    away = await owner.profile(twin.profile_id)
    assert (away.merged_into_profile_id, away.merge_id) == (pat.profile_id, merge.merge_id)
    assert merge.actor == f"staff:{owner.id}"
    states = world.events_of(twin.profile_id)
    assert [(state.version, state.details_version) for state in states] == [(1, 1), (2, 1)]
    assert states[-1].merge_id == merge.merge_id
    assert len(world.events_of(pat.profile_id)) == 1


async def test_an_unmerge_gives_back_what_was(world, owner):
    pat, twin = await people(owner, "Pat", "Twin")
    merge = await owner.merge(twin, into=pat)

    undone = await owner.unmerge(merge)

    back = await owner.profile(twin.profile_id)
    assert undone.unmerge_actor == f"staff:{owner.id}"
    back.ClearField("etag")
    twin.ClearField("etag")
    assert back == twin
    assert world.conversations.told[-1].subject.merge_id is None


async def test_who_hears_of_a_merge_only_when_it_is_undone_still_hears_that_it_was(world, owner):
    pat, twin = await people(owner, "Pat", "Twin")
    merge = await owner.merge(twin, into=pat)

    undone = await owner.unmerge(merge)

    state = world.events_of(twin.profile_id)[-1]
    assert state.unmerge_time == undone.unmerge_time


async def test_a_merge_ends_the_sessions_of_the_secondary_at_once(world, owner):
    pat, twin = await people(owner, "Pat", "Twin")
    stays = await world.sign_in(owner.clinic_id, profile_id=pat.profile_id)
    goes = await world.sign_in(owner.clinic_id, profile_id=twin.profile_id)

    await owner.merge(twin, into=pat)

    assert reason(await failure(goes.call("GetClinic"))) == "SESSION_ENDED"
    ended = await world.state(owner.clinic_id, session_id=goes.session_id)
    assert ended.end_cause == session_pb2.SESSION_END_CAUSE_MERGED
    assert goes.session_id in {str(state.subject.id) for state in world.notifications.told}
    assert (await stays.call("GetClinic")).clinic.clinic_id == owner.clinic_id


async def test_who_is_merged_away_cannot_sign_in(world, owner):
    pat, twin = await people(owner, "Pat", "Twin")
    await owner.merge(twin, into=pat)

    error = await failure(world.sign_in(owner.clinic_id, profile_id=twin.profile_id))

    assert (error.code(), reason(error)) == (REFUSED, "PROFILE_MERGED")
    assert metadata(error)["surviving_profile_id"] == pat.profile_id


async def test_each_merge_of_a_chain_owns_its_own_reason(world, owner):
    a, b, c = await people(owner, "A", "B", "C")
    first = await owner.merge(a, into=b)
    second = await owner.merge(b, into=c)
    assert [await merged_into(owner, each) for each in (a, b, c)] == [
        b.profile_id,
        c.profile_id,
        "",
    ]

    await owner.unmerge(second)
    assert [await merged_into(owner, each) for each in (a, b, c)] == [b.profile_id, "", ""]

    await owner.merge(b, into=c)
    await owner.unmerge(first)
    assert [await merged_into(owner, each) for each in (a, b, c)] == ["", c.profile_id, ""]


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_merges_are_undone_in_any_order_and_nothing_stays(world, owner, order):
    a, b, c, d = await people(owner, "A", "B", "C", "D")
    merges = [
        await owner.merge(a, into=b),
        await owner.merge(b, into=c),
        await owner.merge(d, into=c),
    ]

    for number in order:
        await owner.unmerge(merges[number])

    assert [await merged_into(owner, each) for each in (a, b, c, d)] == [""] * 4


async def test_a_profile_is_not_merged_into_itself(world, owner):
    [pat] = await people(owner, "Pat")

    error = await failure(owner.merge(pat, into=pat))

    assert (error.code(), reason(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "SELF_MERGE")


async def test_nothing_is_merged_into_who_is_merged_away(world, owner):
    a, b, c, new = await people(owner, "A", "B", "C", "New")
    await owner.merge(a, into=b)
    await owner.merge(b, into=c)

    error = await failure(owner.merge(new, into=a))

    assert (error.code(), reason(error)) == (REFUSED, "PROFILE_MERGED")
    assert metadata(error)["surviving_profile_id"] == c.profile_id


async def test_who_is_merged_away_is_not_merged_again(world, owner):
    a, b, c = await people(owner, "A", "B", "C")
    await owner.merge(a, into=b)

    error = await failure(owner.merge(a, into=c))

    assert (error.code(), reason(error)) == (REFUSED, "PROFILE_MERGED")
    assert metadata(error)["surviving_profile_id"] == b.profile_id


async def test_a_cycle_is_refused_however_long(world, owner):
    a, b, c = await people(owner, "A", "B", "C")
    await owner.merge(a, into=b)
    await owner.merge(b, into=c)

    for secondary, into in ((b, a), (c, a), (c, b)):
        if await merged_into(owner, secondary):
            continue
        error = await failure(owner.merge(secondary, into=into))

        assert (error.code(), reason(error)) == (REFUSED, "MERGE_CYCLE")


async def test_staff_are_not_merged(world, owner):
    [pat] = await people(owner, "Pat")
    staff = profile_pb2.Profile(profile_id=owner.id)

    for secondary, into in ((pat, staff), (staff, pat)):
        error = await failure(owner.merge(secondary, into=into))

        assert (error.code(), reason(error)) == (REFUSED, "STAFF_MERGE_UNSUPPORTED")


async def test_a_profile_of_another_clinic_is_not_there(world, owner):
    [pat] = await people(owner, "Pat")
    stranger = await (await world.clinic()).create_profile("Stranger")

    for secondary, into in ((pat, stranger), (stranger, pat)):
        error = await failure(owner.merge(secondary, into=into))

        assert (error.code(), reason(error)) == (grpc.StatusCode.NOT_FOUND, "PROFILE_NOT_FOUND")


async def test_a_patient_and_a_contact_merge_and_the_primarys_kind_stays(world, owner):
    contact = await owner.create_profile("Pat", kind=profile_pb2.PROFILE_KIND_CONTACT)
    [patient] = await people(owner, "Pat")

    await owner.merge(patient, into=contact)

    assert await owner.profile(contact.profile_id) == contact


async def test_only_full_access_merges_and_unmerges(world, owner):
    standard = await world.staff(owner.clinic_id, STANDARD)
    pat, twin = await people(owner, "Pat", "Twin")

    denied = await failure(standard.merge(twin, into=pat))
    merge = await owner.merge(twin, into=pat)
    denied_too = await failure(standard.unmerge(merge))

    assert reason(denied) == reason(denied_too) == "FULL_ACCESS_REQUIRED"
    assert await merged_into(owner, twin) == pat.profile_id
    assert ("unmerge_profiles", "denied", "FULL_ACCESS_REQUIRED") in world.audited(owner.clinic_id)
    assert ("merge_profiles", "done", "") in world.audited(owner.clinic_id)


async def test_a_merge_is_undone_once(world, owner):
    pat, twin = await people(owner, "Pat", "Twin")
    merge = await owner.merge(twin, into=pat)
    request_id = str(uuid4())
    undone = await owner.unmerge(merge, request_id=request_id)
    await owner.merge(twin, into=pat)

    repeat = await owner.unmerge(merge, request_id=request_id)
    error = await failure(owner.unmerge(merge))

    assert repeat == undone
    assert (error.code(), reason(error)) == (REFUSED, "MERGE_UNDONE")
    assert await merged_into(owner, twin) == pat.profile_id


async def test_a_merge_of_another_clinic_is_not_there(world, owner):
    pat, twin = await people(owner, "Pat", "Twin")
    merge = await owner.merge(twin, into=pat)
    stranger = await world.clinic()

    error = await failure(stranger.unmerge(merge))

    assert (error.code(), reason(error)) == (grpc.StatusCode.NOT_FOUND, "MERGE_NOT_FOUND")


async def test_of_two_merges_of_one_profile_at_once_the_second_is_refused(world, owner):
    for _ in range(5):
        twin, *primaries = await people(owner, "Twin", "A", "B", "C")

        answers = await asyncio.gather(
            *(owner.merge(twin, into=each) for each in primaries), return_exceptions=True
        )

        refused = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
        assert [reason(error) for error in refused] == ["PROFILE_MERGED"] * 2
        assert world.rows(
            "select count(*) from merges where secondary_profile_id = %s", twin.profile_id
        ) == [(1,)]


async def test_merges_of_two_profiles_into_each_other_at_once_make_one(world, owner):
    for _ in range(5):
        a, b = await people(owner, "A", "B")

        answers = await asyncio.gather(
            owner.merge(a, into=b), owner.merge(b, into=a), return_exceptions=True
        )

        refused = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
        assert [reason(error) for error in refused] == ["MERGE_CYCLE"]


async def test_a_ring_of_merges_at_once_leaves_a_survivor(world, owner):
    for _ in range(5):
        ring = await people(owner, "A", "B", "C", "D")
        pairs = zip(ring, [*ring[1:], ring[0]], strict=True)

        await asyncio.gather(
            *(owner.merge(each, into=next) for each, next in pairs), return_exceptions=True
        )

        alive = [each for each in ring if not await merged_into(owner, each)]
        assert len(alive) >= 1


async def test_a_repeat_of_a_merge_confirms_again_and_merges_nothing(world, owner):
    pat, twin = await people(owner, "Pat", "Twin")
    request = {
        "primary_profile_id": pat.profile_id,
        "secondary_profile_id": twin.profile_id,
        "request_id": str(uuid4()),
    }
    world.conversations.confirms = False
    first = await owner.call("MergeProfiles", **request)
    world.conversations.confirms = True

    repeat = await owner.call("MergeProfiles", **request)

    assert (first.applied, repeat.applied) == (False, True)
    assert first.merge == repeat.merge


async def test_search_leads_from_the_old_name_to_the_survivor_alone(world, owner):
    a, b, c = await people(owner, "Maiden Name", "Middle Name", "Married Name")
    first = await owner.merge(a, into=b)
    await owner.merge(b, into=c)

    for query in ("maiden", "middle", "married", "name"):
        found = [hit.profile.profile_id for hit in await owner.search(query)]
        assert found == [c.profile_id], query
    await owner.unmerge(first)
    assert [hit.profile.profile_id for hit in await owner.search("maiden")] == [a.profile_id]


async def test_merges_are_listed_the_newest_first(world, owner):
    a, b, c = await people(owner, "A", "B", "C")
    first = await owner.merge(a, into=b)
    second = await owner.merge(b, into=c)
    undone = await owner.unmerge(first)

    standing = await owner.call("ListMerges")
    of_a = await owner.call("ListMerges", profile_id=a.profile_id, include_undone=True)
    page = await owner.call("ListMerges", include_undone=True, page_size=1)
    rest = await owner.call("ListMerges", include_undone=True, page_token=page.next_page_token)

    assert list(standing.merges) == [second]
    assert list(of_a.merges) == [undone]
    assert [*page.merges, *rest.merges] == [second, undone]
    error = await failure(owner.call("ListMerges", profile_id=str(uuid4())))
    assert reason(error) == "PROFILE_NOT_FOUND"
