"""What the directory publishes: what a clinic, a person or a session now is, and nothing else."""

from dataclasses import dataclass
from uuid import UUID

from services.directory.domain.clinic import Clinic
from services.directory.domain.profile import Profile
from services.directory.domain.session import Session
from services.directory.domain.staff_member import StaffMember

Subject = Clinic | StaffMember | Profile | Session


@dataclass(frozen=True, slots=True)
class State:
    """What something now is, in the incarnation of the database whose version it carries."""

    subject: Subject
    incarnation: UUID
