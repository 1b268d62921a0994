"""The replica's tables in a database that no other test uses; each test has clinics of its own."""

from uuid import uuid4

import pytest

from services.chassis.database import Database
from services.directory_replica import store
from services.directory_replica.replica import Replica, id_of
from services.directory_replica.states import ClinicState, ProfileState, SessionState, StaffState
from tests.support.conversations_world import StatedDirectory


@pytest.fixture(scope="session")
def replica_databases(postgres):
    return postgres.clone("conversations", label="replica")


@pytest.fixture
async def app(replica_databases):
    database = Database(replica_databases.app, size=8, name="replica test")
    yield database
    await database.close()


@pytest.fixture
def directory():
    return StatedDirectory()


@pytest.fixture
def applied():
    """One entry for each time that the replica told of a change."""
    return []


@pytest.fixture
def replica(app, directory, applied):
    return Replica(app, directory, applied=lambda: applied.append(True))


@pytest.fixture
def clinic_id():
    return uuid4()


@pytest.fixture
def held(app):
    """What the replica holds of a state's clinic, person or session."""
    readers = {
        StaffState: store.staff,
        ProfileState: store.profile,
        SessionState: store.session,
    }

    async def held(state):
        async def read(connection, _):
            if isinstance(state, ClinicState):
                return await store.clinic(connection, state.clinic_id)
            return await readers[type(state)](connection, state.clinic_id, id_of(state))

        return await app.transact(read, clinics=[state.clinic_id])

    return held
