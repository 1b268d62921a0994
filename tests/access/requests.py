"""What a row of the table asks: an RPC's request about the object that the row names.

An object is `absent`, `malformed`, or one that the clinics of the test have: `live` as a thread,
`patient` as a profile, `far patient` for the other clinic's. A number behind it is a sequence.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from clinic.conversations.v1 import conversations_internal_service_pb2 as conversations_internal
from clinic.conversations.v1 import conversations_service_pb2 as conversations
from clinic.conversations.v1 import message_pb2
from clinic.directory.v1 import clinic_pb2, directory_events_pb2, profile_pb2, staff_member_pb2
from clinic.directory.v1 import directory_internal_service_pb2 as directory_internal
from clinic.directory.v1 import directory_service_pb2 as directory
from clinic.export.v1 import export_internal_service_pb2 as export
from clinic.export.v1 import export_pb2
from clinic.notifications.v1 import delivery_pb2, device_pb2
from clinic.notifications.v1 import notifications_service_pb2 as notifications
from clinic.operations.v1 import operations_service_pb2 as operations
from tests.support.rpcs import Rpc
from tests.support.two_clinics import Caller, Clinic, Person, TwoClinics


@dataclass(frozen=True)
class Asking:
    """One cell: who asks which RPC about what."""

    clinics: TwoClinics
    rpc: Rpc
    column: str
    caller: Caller | None
    object: str

    @property
    def clinic(self) -> Clinic:
        """Whose object it is."""
        return self.clinics.far if self.object.startswith("far ") else self.clinics.near

    @property
    def name(self) -> str:
        """The object's own name, without its clinic and its sequence."""
        words = self.object.removeprefix("far ").split()
        return words[0]

    @property
    def sequence(self) -> int:
        last = self.object.split()[-1]
        return int(last) if last.isdigit() else 0

    @property
    def own_clinic(self) -> Clinic | None:
        """The clinic that the caller is of, or names."""
        clinics = (self.clinics.near, self.clinics.far, *self.clinics.others)
        of = {clinic.id: clinic for clinic in clinics}
        return None if self.caller is None else of.get(self.caller.clinic_id or "")

    def id(self, kind: str) -> str:
        if self.name == "absent":
            return str(uuid4())
        if self.name == "malformed":
            return "not-an-id"
        if kind in MADE:
            return MADE[kind](self.clinic)
        found: Mapping[str, str] = {
            "thread": self.clinic.threads,
            "person": {name: person.id for name, person in self.clinic.people.items()},
            "merge": self.clinic.merges,
            "export": self.clinic.exports,
            "delivery": {"told": self.clinic.deliveries[0]},
        }[kind]
        return found[self.name]


Built = Message | list[Message] | tuple[Message, Person]
Build = Callable[[Asking], Awaitable[Built]]


def new_id() -> str:
    return str(uuid4())


# RPC: the field that names the object, its kind, and whatever else the request needs.
PLAIN: Mapping[str, tuple[str, str, Mapping[str, object]]] = {
    "conversations.StartConversation": ("profile_id", "person", {}),
    "conversations.GetConversation": ("conversation_id", "thread", {}),
    "conversations.SendMessage": ("conversation_id", "thread", {"body": "hello"}),
    "conversations.GetMessage": ("conversation_id", "thread", {"sequence": 1}),
    "conversations.ListMessages": ("conversation_id", "thread", {}),
    "conversations.DeleteMessage": ("conversation_id", "thread", {"sequence": 1}),
    "conversations.MarkConversationRead": ("conversation_id", "thread", {"up_to_sequence": 1}),
    "directory.GetStaffMember": ("staff_id", "person", {}),
    "directory.UpdateNotificationPreference": ("staff_id", "person", {"mail_opted_in": True}),
    "directory.DeactivateStaffMember": ("staff_id", "person", {}),
    "directory.ReactivateStaffMember": ("staff_id", "person", {}),
    "directory.TransferOwnership": ("staff_id", "person", {}),
    "directory.GetProfile": ("profile_id", "person", {}),
    "directory.ListLikelyDuplicates": ("profile_id", "person", {}),
    "directory.internal.ClearNotificationPreference": ("staff_id", "person", {}),
    "directory.internal.ListLikelyDuplicates": ("profile_id", "person", {}),
    "notifications.internal.GetDelivery": ("delivery_id", "delivery", {}),
    "notifications.internal.RetryDelivery": ("delivery_id", "delivery", {}),
    "notifications.internal.SendCode": ("staff_id", "person", {"code": "1234"}),
    "notifications.internal.LiftSuppression": ("suppression_id", "suppression", {}),
    "notifications.internal.RecordProviderFeedback": (
        "dispatch_id",
        "dispatch",
        {"provider_state": delivery_pb2.PROVIDER_STATE_BOUNCED},
    ),
    "export.internal.GetExport": ("export_id", "export", {}),
    "export.internal.CancelExport": ("export_id", "export", {}),
    "export.internal.DownloadExport": ("export_id", "export", {}),
}


async def request(asking: Asking) -> Built:
    """The request; where the caller has to be signed in once more for it, with that session."""
    name = asking.rpc.name
    if asking.rpc.door == "operations":
        return await OPERATIONS[asking.rpc.descriptor.name](asking)
    if name in BUILT:
        return await BUILT[name](asking)
    field, kind, more = PLAIN[name]
    fields: dict[str, Any] = {**more, field: asking.id(kind)}
    if asking.sequence:
        fields["sequence"] = asking.sequence
    if "request_id" in asking.rpc.descriptor.input_type.fields_by_name:
        fields["request_id"] = new_id()
    return asking.rpc.request(**fields)


async def _nothing(asking: Asking) -> Built:
    return asking.rpc.request()


async def _owner_addresses(asking: Asking) -> Built:
    return asking.rpc.request(since_time=Timestamp(seconds=1))


def _listing(caller: str, **fields: Any) -> Build:
    """A list; `token` is the second page of somebody's, who is `caller`."""

    async def build(asking: Asking) -> Built:
        if asking.object != "token":
            return asking.rpc.request(**fields)
        near = asking.clinics.near
        owner = near.people.get(caller) or near.machine(caller)
        first = await near.call(owner, asking.rpc.name, asking.rpc.request(page_size=1, **fields))
        assert first.next_page_token
        return asking.rpc.request(page_token=first.next_page_token, **fields)

    return build


async def _list_messages(asking: Asking) -> Built:
    if asking.name != "token":
        return conversations.ListMessagesRequest(conversation_id=asking.id("thread"))
    near, id = asking.clinics.near, asking.clinics.near.threads["live"]
    first = await near.call(
        near.people["participant"],
        "conversations.ListMessages",
        conversations.ListMessagesRequest(conversation_id=id, page_size=1),
    )
    return conversations.ListMessagesRequest(conversation_id=id, page_token=first.next_page_token)


async def _watch(asking: Asking) -> Built:
    if asking.object != "token":
        return conversations.WatchInboxRequest()
    near = asking.clinics.near
    first = await near.call(
        near.people["participant"], asking.rpc.name, conversations.WatchInboxRequest()
    )
    return conversations.WatchInboxRequest(resume_token=first.resume_token)


async def _resolve(asking: Asking) -> Built:
    """`live for patient`: the link of a mail about a thread, and whom the mail was for."""
    for_whom = asking.object.split()[-1]
    person = asking.clinic.people.get(for_whom)
    return conversations.ResolveLinkRequest(
        conversation_id=asking.id("thread"), profile_id=person.id if person else for_whom
    )


async def _explain(asking: Asking) -> Built:
    """`thread live`, `thread live 99`, `profile patient` or `nothing`."""
    kind, _, object = asking.object.partition(" ")
    about = Asking(asking.clinics, asking.rpc, asking.column, asking.caller, object)
    match kind:
        case "thread":
            return asking.rpc.request(conversation_id=about.id("thread"), sequence=about.sequence)
        case "profile":
            return asking.rpc.request(profile_id=about.id("person"))
    return asking.rpc.request()


async def _states(asking: Asking) -> Built:
    """What the directory says of a patient now."""
    if asking.object == "nothing":
        return asking.rpc.request()
    clinic, person = asking.clinic, "patient"
    if asking.name == "malformed":
        state = directory_events_pb2.ProfileState(clinic_id=clinic.id, profile_id="not-an-id")
        return asking.rpc.request(states=[directory_events_pb2.State(profile=state)])
    question = directory_internal.GetStateRequest(profile_id=clinic.people[person].id)
    service = clinic.machine("service:conversations")
    found = await clinic.call(service, "directory.internal.GetState", question)
    return asking.rpc.request(states=[found.state])


async def _unread(asking: Asking) -> Built:
    person = conversations_internal.Person(
        side=message_pb2.SIDE_PROFILE, person_id=asking.id("person")
    )
    return conversations_internal.BatchGetUnreadRequest(people=[person])


async def _stream_messages(asking: Asking) -> Built:
    """`participant`, or `participant tomorrow` for a cut-off that has not passed."""
    request = conversations_internal.StreamMessagesRequest(staff_id=asking.id("person"))
    request.cutoff_time.GetCurrentTime()
    request.cutoff_time.seconds += 86_400 if asking.object.endswith("tomorrow") else -1
    return request


async def _update_settings(asking: Asking) -> Built:
    allowed = clinic_pb2.MESSAGING_POLICY_ALLOWED
    return directory.UpdateMessagingSettingsRequest(
        messaging_settings=clinic_pb2.MessagingSettings(messaging_policy=allowed),
        update_mask={"paths": ["messaging_policy"]},
        request_id=new_id(),
    )


async def _update_staff(asking: Asking) -> Built:
    return directory.UpdateStaffMemberRequest(
        staff_id=asking.id("person"),
        staff_member=staff_member_pb2.StaffMember(email=asking.clinic.address(asking.name)),
        update_mask={"paths": ["email"]},
        request_id=new_id(),
    )


async def _create_profile(asking: Asking) -> Built:
    """`own`, or `override`: with an override other than INHERIT."""
    clinic = asking.own_clinic or asking.clinics.near
    request = directory.CreateProfileRequest(
        profile=profile_pb2.Profile(
            kind=profile_pb2.PROFILE_KIND_PATIENT, display_name=f"new {clinic.word}"
        ),
        request_id=new_id(),
    )
    if asking.object == "override":
        request.profile.messaging_override = profile_pb2.MESSAGING_OVERRIDE_ALLOW
    return request


async def _update_profile(asking: Asking) -> Built:
    """`patient`, or `patient override`."""
    path, profile = "preferred_name", profile_pb2.Profile()
    if asking.object.endswith("override"):
        path = "messaging_override"
        profile.messaging_override = profile_pb2.MESSAGING_OVERRIDE_INHERIT
    return directory.UpdateProfileRequest(
        profile_id=asking.id("person"),
        profile=profile,
        update_mask={"paths": [path]},
        request_id=new_id(),
    )


async def _merge(asking: Asking) -> Built:
    """`two`: two new profiles; else `<secondary> into <primary>`."""
    secondary, _, primary = asking.object.partition(" into ")
    ids = []
    for object in (secondary, primary):
        about = Asking(asking.clinics, asking.rpc, asking.column, asking.caller, object)
        new = secondary == "two" or object == "new"
        ids.append(await _new_profile(asking.clinics.near) if new else about.id("person"))
    return directory.MergeProfilesRequest(
        secondary_profile_id=ids[0], primary_profile_id=ids[1], request_id=new_id()
    )


async def _new_profile(clinic: Clinic) -> str:
    made = await clinic.call(
        clinic.people["owner"],
        "directory.CreateProfile",
        directory.CreateProfileRequest(
            profile=profile_pb2.Profile(
                kind=profile_pb2.PROFILE_KIND_PATIENT, display_name=f"spare {clinic.word}"
            ),
            request_id=new_id(),
        ),
    )
    id: str = made.profile.profile_id
    return id


async def _unmerge(asking: Asking) -> Built:
    """`new`: a merge made for this cell; `undone`: one that was undone at once."""
    if asking.name in ("absent", "malformed"):
        return directory.UnmergeProfilesRequest(merge_id=asking.id("merge"), request_id=new_id())
    clinic, owner = asking.clinic, asking.clinic.people["owner"]
    request = directory.MergeProfilesRequest(
        secondary_profile_id=await _new_profile(clinic),
        primary_profile_id=await _new_profile(clinic),
        request_id=new_id(),
    )
    made = await clinic.call(owner, "directory.MergeProfiles", request)
    undo = directory.UnmergeProfilesRequest(merge_id=made.merge.merge_id, request_id=new_id())
    if asking.name == "undone":
        await clinic.call(owner, "directory.UnmergeProfiles", undo)
        undo.request_id = new_id()
    return undo


async def _list_merges(asking: Asking) -> Built:
    id = "" if asking.object == "own" else asking.id("person")
    return directory.ListMergesRequest(profile_id=id, include_undone=True)


async def _close_session(asking: Asking) -> Built:
    """`own`: the token's; `another own`; or a new one of somebody's, which is in nobody's way."""
    caller, object = asking.caller, asking.object
    alive = isinstance(caller, Person) and asking.column not in ENDED
    if object == "own":
        if not alive:
            return directory.CloseSessionRequest()
        assert isinstance(caller, Person)
        return directory.CloseSessionRequest(), await _session(asking, caller)
    if object == "another own":
        if not alive:
            return directory.CloseSessionRequest(session_id=new_id())
        assert isinstance(caller, Person)
        other = await _session(asking, caller)
        return directory.CloseSessionRequest(session_id=other.session_id)
    if asking.name in ("absent", "malformed"):
        return directory.CloseSessionRequest(session_id=asking.id("person"))
    whose = asking.clinic.people[asking.name]
    other = await asking.clinic.session(whose.side, whose.id)
    return directory.CloseSessionRequest(session_id=other.session_id)


async def _session(asking: Asking, person: Person) -> Person:
    clinic = asking.own_clinic
    assert clinic is not None
    return await clinic.session(person.side, person.id)


async def _list_sessions(asking: Asking) -> Built:
    """`own`, `token`, `staff participant` or `profile patient`."""
    kind, _, object = asking.object.partition(" ")
    if kind == "token":
        near = asking.clinics.near
        await near.session("staff", near.people["owner"].id)  # a second, for a second page
    if kind not in ("staff", "profile"):
        return await _listing("owner", include_ended=True)(asking)
    about = Asking(asking.clinics, asking.rpc, asking.column, asking.caller, object)
    if kind == "staff":
        return directory.ListSessionsRequest(staff_id=about.id("person"))
    return directory.ListSessionsRequest(profile_id=about.id("person"))


async def _create_clinic(asking: Asking) -> Built:
    return directory_internal.CreateClinicRequest(
        clinic_name="Third clinic",
        owner_display_name="Third owner",
        owner_email="owner@third.test",
        request_id=new_id(),
    )


async def _update_clinic(asking: Asking) -> Built:
    clinic = asking.own_clinic or asking.clinics.near
    return directory_internal.UpdateClinicRequest(
        clinic=clinic_pb2.Clinic(name=f"Clinic {clinic.word}"),
        update_mask={"paths": ["name"]},
        request_id=new_id(),
    )


async def _create_staff(asking: Asking) -> Built:
    clinic = asking.own_clinic or asking.clinics.near
    member = staff_member_pb2.StaffMember(
        kind=staff_member_pb2.STAFF_KIND_PRACTITIONER,
        access_level=staff_member_pb2.ACCESS_LEVEL_LIMITED,
        display_name=f"new {clinic.word}",
    )
    return directory_internal.CreateStaffMemberRequest(staff_member=member, request_id=new_id())


async def _import(asking: Asking) -> Built:
    part = directory_internal.ImportProfilesRequest
    header = part.Header(
        format=directory_internal.IMPORT_FORMAT_CSV,
        source_system="table",
        dry_run=True,
        request_id=new_id(),
    )
    return [part(header=header), part(chunk=b"external_id,display_name\n1,Ann Other\n")]


async def _person_of(asking: Asking) -> Built:
    """`staff participant`, `profile patient`, `session patient`, `clinic` or `nothing`."""
    kind, _, object = asking.object.partition(" ")
    about = Asking(asking.clinics, asking.rpc, asking.column, asking.caller, object or "absent")
    fields: dict[str, Any] = {}
    if kind == "session":
        person = about.clinic.people.get(about.name)
        fields["session_id"] = about.id("person") if person is None else person.session_id
    elif kind == "clinic":
        fields["clinic"] = True
    elif kind != "nothing":
        fields[f"{kind}_id"] = about.id("person")
    if "request_id" in asking.rpc.descriptor.input_type.fields_by_name:
        fields["request_id"] = new_id()
    return asking.rpc.request(**fields)


async def _details(asking: Asking) -> Built:
    return directory_internal.BatchGetDetailsRequest(profile_ids=[asking.id("person")])


async def _register_device(asking: Asking) -> Built:
    """`new`: a phone that nobody has registered."""
    return notifications.RegisterDeviceRequest(
        platform=device_pb2.PLATFORM_FCM,
        push_token="no token" if asking.object == "malformed" else f"access:{uuid4().hex}",
        request_id=new_id(),
    )


async def _unregister_device(asking: Asking) -> Built:
    """Whose phone it is; the owner loses one registered for that, the others ask for another."""
    if asking.name == "absent":
        device_id = asking.id("person")
    elif asking.caller is asking.clinic.people[asking.name]:
        device_id = await _new_phone(asking)
    else:
        device_id = _PHONES.get(asking.clinic.id) or await _new_phone(asking)
        _PHONES[asking.clinic.id] = device_id
    return notifications.UnregisterDeviceRequest(device_id=device_id, request_id=new_id())


# Of the patient of each clinic.
_PHONES: dict[str, str] = {}


async def _new_phone(asking: Asking) -> str:
    clinic = asking.clinic
    request = notifications.RegisterDeviceRequest(
        platform=device_pb2.PLATFORM_FCM,
        push_token=f"access:{uuid4().hex}",
        request_id=new_id(),
    )
    made = await clinic.call(clinic.people[asking.name], "notifications.RegisterDevice", request)
    id: str = made.device.device_id
    return id


async def _list_deliveries(asking: Asking) -> Built:
    """`thread live`, `recipient patient` or `nothing`."""
    kind, _, object = asking.object.partition(" ")
    about = Asking(asking.clinics, asking.rpc, asking.column, asking.caller, object)
    match kind:
        case "thread":
            return asking.rpc.request(conversation_id=about.id("thread"))
        case "recipient":
            return asking.rpc.request(recipient_id=about.id("person"))
    return asking.rpc.request()


async def _list_suppressions(asking: Asking) -> Built:
    """`all`, `recipient patient`."""
    _, _, object = asking.object.partition(" ")
    if not object:
        return asking.rpc.request()
    about = Asking(asking.clinics, asking.rpc, asking.column, asking.caller, object)
    if about.name == "patient":
        _new_suppression(about.clinic)
    return asking.rpc.request(recipient_id=about.id("person"))


async def _create_export(asking: Asking) -> Built:
    """Of a staff member, asked for from the near owner's address; `<staff> mistaken`: from another;
    `<staff> all`: of the whole clinic."""
    request = export.CreateExportRequest(
        staff_id=asking.id("person"),
        requester_address=asking.clinics.near.address("owner"),
        request_id=new_id(),
    )
    if asking.object.endswith("mistaken"):
        request.requester_address = asking.clinics.near.address("full")
    if asking.object.endswith("all"):
        request.scope = export_pb2.EXPORT_SCOPE_CLINIC
    return request


async def _list_events(asking: Asking) -> Built:
    """`own`, `token`, or `gone`: a position of another life of the database."""
    if asking.object == "gone":
        return operations.ListEventsRequest(incarnation=new_id(), after_position=1)
    return await _listing("ops:support")(asking)


def _letter(field: type[Message]) -> Build:
    """`absent`, `malformed`, or `letter`: one made for this cell."""

    async def build(asking: Asking) -> Built:
        if asking.name == "letter":
            id = _new_letter(asking.clinics.near, asking.rpc.service)
        else:
            id = asking.id("person")
        fields = {"dead_letter_id": id}
        if "request_id" in asking.rpc.descriptor.input_type.fields_by_name:
            fields["request_id"] = new_id()
        return field(**fields)

    return build


def _new_letter(clinic: Clinic, service: str) -> str:
    id = new_id()
    insert = """
        insert into dead_letters (id, clinic_id, consumer, source, event_id, kind, type,
            aggregate_id, position, incarnation, payload, trace, error_class, attempts, occurred_at)
        values (%s, %s, 'nobody', %s, %s, 'fact', 'nothing', %s, 1, %s, '', '', 'Refused', 1, now())
    """
    given = (id, clinic.id, service, new_id(), new_id(), new_id())
    clinic.suite.rows(service, insert, *given)
    return id


def _new_suppression(clinic: Clinic) -> str:
    """Of an address of a patient who is not mailed otherwise."""
    id = new_id()
    insert = """
        insert into suppressions (clinic_id, id, recipient_side, recipient_id, address_print,
            reason, created_at)
        values (%s, %s, 'profile', %s, %s, 'BOUNCED', now())
    """
    given = (clinic.id, id, clinic.people["patient"].id, id.encode())
    clinic.suite.rows("notifications", insert, *given)
    return id


def _new_dispatch(clinic: Clinic) -> str:
    """Of a mail about no message of anybody's, which its provider took."""
    dispatch_id = new_id()
    insert = """
        insert into deliveries (clinic_id, id, message_id, conversation_id, sequence,
            recipient_side, recipient_id, channel, state, message_sent_at, decided_at, sent_at,
            dispatch_id, attempts, resent, version)
        values (%s, %s, %s, %s, 1, 'profile', %s, 'EMAIL', 'SENT', now(), now(), now(), %s, 1,
            false, 1)
    """
    ids = (new_id(), new_id(), new_id(), new_id())
    clinic.suite.rows("notifications", insert, clinic.id, *ids, dispatch_id)
    return dispatch_id


# Made for each cell, for a call uses them up.
MADE: Mapping[str, Callable[[Clinic], str]] = {
    "suppression": _new_suppression,
    "dispatch": _new_dispatch,
}


async def _rotate(asking: Asking) -> Built:
    return operations.RotateKeysRequest(request_id=new_id())


BUILT: Mapping[str, Build] = {
    "conversations.ListConversations": _listing("participant"),
    "conversations.ListMessages": _list_messages,
    "conversations.GetUnreadSummary": _nothing,
    "conversations.WatchInbox": _watch,
    "conversations.ResolveLink": _resolve,
    "conversations.ExplainDelivery": _explain,
    "conversations.internal.ApplyStates": _states,
    "conversations.internal.BatchGetUnread": _unread,
    "conversations.internal.StreamMessages": _stream_messages,
    "conversations.internal.InvestigateDelivery": _explain,
    "directory.GetClinic": _nothing,
    "directory.GetMessagingSettings": _nothing,
    "directory.UpdateMessagingSettings": _update_settings,
    "directory.ListStaffMembers": _listing("owner"),
    "directory.UpdateStaffMember": _update_staff,
    "directory.CreateProfile": _create_profile,
    "directory.UpdateProfile": _update_profile,
    "directory.SearchProfiles": _listing("owner", query="word"),
    "directory.MergeProfiles": _merge,
    "directory.UnmergeProfiles": _unmerge,
    "directory.ListMerges": _list_merges,
    "directory.TouchSession": _nothing,
    "directory.CloseSession": _close_session,
    "directory.ListSessions": _list_sessions,
    "directory.internal.CreateClinic": _create_clinic,
    "directory.internal.UpdateClinic": _update_clinic,
    "directory.internal.CreateStaffMember": _create_staff,
    "directory.internal.ImportProfiles": _import,
    "directory.internal.OpenSession": _person_of,
    "directory.internal.BatchGetDetails": _details,
    "directory.internal.StreamStates": _nothing,
    "directory.internal.GetOwnerAddressHistory": _owner_addresses,
    "directory.internal.GetState": _person_of,
    "notifications.ListDevices": _nothing,
    "notifications.RegisterDevice": _register_device,
    "notifications.UnregisterDevice": _unregister_device,
    "notifications.internal.ApplyStates": _states,
    "notifications.internal.ListDeliveries": _list_deliveries,
    "notifications.internal.ListSuppressions": _list_suppressions,
    "export.ListExports": _listing("owner"),
    "export.internal.CreateExport": _create_export,
    "export.internal.ListExports": _listing("ops:support"),
}
OPERATIONS: Mapping[str, Build] = {
    "ListEvents": _list_events,
    "ListDeadLetters": _nothing,
    "GetDeadLetter": _letter(operations.GetDeadLetterRequest),
    "ReplayDeadLetter": _letter(operations.ReplayDeadLetterRequest),
    "DiscardDeadLetter": _letter(operations.DiscardDeadLetterRequest),
    "ListAuditRecords": _nothing,
    "GetStatus": _nothing,
    "RotateKeys": _rotate,
}
# Columns whose callers were signed in, and are no longer.
ENDED = frozenset({"signed_out", "left", "merged", "merging"})
