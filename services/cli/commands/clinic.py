"""A clinic's people and settings, as its staff change them."""

from argparse import Namespace

from rich.console import Group

from clinic.directory.v1 import clinic_pb2, merge_pb2, profile_pb2, staff_member_pb2
from clinic.directory.v1 import directory_service_pb2 as pb
from services.chassis.ids import uuid7
from services.cli.output import (
    Json,
    Row,
    Told,
    as_data,
    lines,
    named,
    plain,
    table,
    when,
    word,
)
from services.cli.parsing import Commands, add_person, command
from services.cli.session import Session

_PAGE = 200
_POLICIES = {
    "allowed": clinic_pb2.MESSAGING_POLICY_ALLOWED,
    "off": clinic_pb2.MESSAGING_POLICY_OFF,
}
_LATE = "Not confirmed in time: it takes effect within moments."


def add(commands: Commands) -> None:
    _add_looking(commands)
    _add_merging(commands)
    _add_leaving(commands)


def _add_looking(commands: Commands) -> None:
    parser = command(
        commands,
        "people",
        people,
        help="search the clinic's patients and contacts by name",
        examples=["clinic people had --as practitioner"],
    )
    parser.add_argument("name", metavar="NAME", help="beginnings of words of the name")
    add_person(parser)
    parser = command(
        commands,
        "staff",
        staff,
        help="list the clinic's staff",
        examples=["clinic staff --as owner --all"],
    )
    parser.add_argument("--all", action="store_true", help="also those who have left")
    add_person(parser)
    parser = command(
        commands,
        "policy",
        policy,
        help="show or set whether the clinic's people may message each other",
        examples=["clinic policy --as owner", "clinic policy allowed --as owner"],
    )
    parser.add_argument("policy", nargs="?", choices=_POLICIES, help="full access may set it")
    add_person(parser)


def _add_merging(commands: Commands) -> None:
    parser = command(
        commands,
        "merge",
        merge,
        help="declare two profiles to be one person; the second one's conversations are archived",
        examples=["clinic merge SURVIVOR DUPLICATE --as owner"],
    )
    parser.add_argument("primary", metavar="SURVIVOR", help="the profile that stays")
    parser.add_argument("secondary", metavar="DUPLICATE", help="the profile that is merged away")
    add_person(parser)
    parser = command(
        commands,
        "unmerge",
        unmerge,
        help="undo a merge; everything is as it was",
        examples=["clinic merges --as owner", "clinic unmerge 0199d1a0-… --as owner"],
    )
    parser.add_argument("merge_id", metavar="MERGE")
    add_person(parser)
    parser = command(
        commands,
        "merges",
        merges,
        help="list merges, newest first",
        examples=["clinic merges --as owner --all"],
    )
    parser.add_argument("--all", action="store_true", help="also those that were undone")
    add_person(parser)


def _add_leaving(commands: Commands) -> None:
    parser = command(
        commands,
        "deactivate",
        deactivate,
        help="end a staff member's access; patients can still read what was written",
        examples=["clinic deactivate 0199d1a0-… --as owner"],
    )
    parser.add_argument("staff_id", metavar="STAFF")
    add_person(parser)
    parser = command(
        commands,
        "reactivate",
        reactivate,
        help="take a deactivation back",
        examples=["clinic reactivate 0199d1a0-… --as owner"],
    )
    parser.add_argument("staff_id", metavar="STAFF")
    add_person(parser)


async def people(session: Session, arguments: Namespace) -> Told:
    request = pb.SearchProfilesRequest(query=arguments.name, page_size=_PAGE)
    async with session.caller(arguments) as caller:
        answer = await caller.call(session.suite.directory.SearchProfiles, request)
    rows = [_result_row(each) for each in answer.results]
    shown = table(("person", "kind", "can be messaged"), rows, empty="Nobody of that name.")
    more = plain("The first 200; type more of the name." if answer.next_page_token else "")
    return Told([as_data(each) for each in answer.results], Group(shown, more))


async def staff(session: Session, arguments: Namespace) -> Told:
    request = pb.ListStaffMembersRequest(include_inactive=arguments.all, page_size=_PAGE)
    members: list[staff_member_pb2.StaffMember] = []
    async with session.caller(arguments) as caller:
        while True:
            page = await caller.call(session.suite.directory.ListStaffMembers, request)
            members.extend(page.staff_members)
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
    shown = table(
        ("staff member", "kind", "access", ""), map(_staff_row, members), empty="No staff."
    )
    return Told([as_data(each) for each in members], shown)


async def policy(session: Session, arguments: Namespace) -> Told:
    stubs = session.suite.directory
    async with session.caller(arguments) as caller:
        if arguments.policy is None:
            asked = await caller.call(stubs.GetMessagingSettings, pb.GetMessagingSettingsRequest())
            settings, applied = asked.messaging_settings, True
        else:
            request = pb.UpdateMessagingSettingsRequest(request_id=str(uuid7()))
            request.messaging_settings.messaging_policy = _POLICIES[arguments.policy]
            request.update_mask.paths.append("messaging_policy")
            answer = await caller.call(stubs.UpdateMessagingSettings, request)
            settings, applied = answer.messaging_settings, answer.applied
    name = clinic_pb2.MessagingPolicy.Name(settings.messaging_policy)
    said = f"Messaging is {word(name, 'MESSAGING_POLICY_')}."
    data: Json = {"messaging_settings": as_data(settings), "applied": applied}
    return Told(data, _applied(said, applied))


async def merge(session: Session, arguments: Namespace) -> Told:
    request = pb.MergeProfilesRequest(
        primary_profile_id=arguments.primary,
        secondary_profile_id=arguments.secondary,
        request_id=str(uuid7()),
    )
    async with session.caller(arguments) as caller:
        answer = await caller.call(session.suite.directory.MergeProfiles, request)
    said = f"Merged. To undo it: clinic unmerge {answer.merge.merge_id}"
    return Told(as_data(answer), _applied(said, answer.applied))


async def unmerge(session: Session, arguments: Namespace) -> Told:
    request = pb.UnmergeProfilesRequest(merge_id=arguments.merge_id, request_id=str(uuid7()))
    async with session.caller(arguments) as caller:
        answer = await caller.call(session.suite.directory.UnmergeProfiles, request)
    said = f"Undone: {answer.merge.secondary_profile_id} is a profile of its own again."
    return Told(as_data(answer), _applied(said, answer.applied))


async def merges(session: Session, arguments: Namespace) -> Told:
    request = pb.ListMergesRequest(include_undone=arguments.all, page_size=_PAGE)
    async with session.caller(arguments) as caller:
        answer = await caller.call(session.suite.directory.ListMerges, request)
    shown = table(("merge", ""), map(_merge_row, answer.merges), empty="No merges.")
    return Told([as_data(each) for each in answer.merges], shown)


async def deactivate(session: Session, arguments: Namespace) -> Told:
    request = pb.DeactivateStaffMemberRequest(staff_id=arguments.staff_id, request_id=str(uuid7()))
    async with session.caller(arguments) as caller:
        answer = await caller.call(session.suite.directory.DeactivateStaffMember, request)
    said = f"{answer.staff_member.display_name} is inactive; patients can still read."
    return Told(as_data(answer), _applied(said, answer.applied))


async def reactivate(session: Session, arguments: Namespace) -> Told:
    request = pb.ReactivateStaffMemberRequest(staff_id=arguments.staff_id, request_id=str(uuid7()))
    async with session.caller(arguments) as caller:
        answer = await caller.call(session.suite.directory.ReactivateStaffMember, request)
    said = f"{answer.staff_member.display_name} is active again."
    return Told(as_data(answer), _applied(said, answer.applied))


def _applied(said: str, applied: bool) -> Group:
    return Group(plain(said)) if applied else Group(plain(said), lines(_LATE))


def _result_row(result: pb.SearchProfilesResponse.Result) -> Row:
    profile = result.profile
    why = profile_pb2.CannotMessageReason.Name(result.cannot_message_reason)
    kind = profile_pb2.ProfileKind.Name(profile.kind)
    return (
        named(profile.display_name, profile.profile_id),
        word(kind, "PROFILE_KIND_"),
        "yes" if result.can_message else f"no: {word(why, 'CANNOT_MESSAGE_REASON_')}",
    )


def _staff_row(member: staff_member_pb2.StaffMember) -> Row:
    kind = staff_member_pb2.StaffKind.Name(member.kind)
    access = staff_member_pb2.AccessLevel.Name(member.access_level)
    note = "Account Owner" if member.account_owner else "" if member.active else "has left"
    return (
        named(member.display_name, member.staff_id),
        word(kind, "STAFF_KIND_"),
        word(access, "ACCESS_LEVEL_"),
        note,
    )


def _merge_row(merge: merge_pb2.Merge) -> Row:
    undone = merge.HasField("unmerge_time")
    note = f"undone {when(merge.unmerge_time)}" if undone else when(merge.merge_time)
    ids = (f"{merge.secondary_profile_id} into", merge.primary_profile_id)
    return (named(merge.merge_id, *ids), note)
