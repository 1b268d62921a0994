import pytest

from deploy.local.blueprint import Blueprint
from deploy.local.ports import DEFAULTS, SERVICES, Ports
from deploy.local.state import State


@pytest.fixture
def blueprint(tmp_path):
    def build(**overrides):
        return Blueprint(State(tmp_path), Ports(DEFAULTS), SERVICES, overrides)

    return build


def test_a_service_is_told_where_its_peers_listen_for_other_services(blueprint):
    settings = blueprint().settings("export")

    assert settings["EXPORT_CONVERSATIONS_TARGET"] == "127.0.0.1:50152"
    assert settings["EXPORT_LISTEN"] == "127.0.0.1:50054"


def test_a_service_is_told_nothing_of_another_services_secrets(blueprint):
    settings = blueprint().settings("export")

    assert all(name.startswith("EXPORT_") for name in settings)
    assert "conversations_app" not in settings["EXPORT_DATABASE_URL"]


def test_what_a_person_sets_wins_for_the_service_it_names(blueprint):
    plan = blueprint(EXPORT_LOG_LEVEL="debug", EXPORT_POOL_SIZE="3")

    assert plan.settings("export")["EXPORT_LOG_LEVEL"] == "debug"
    assert "EXPORT_LOG_LEVEL" not in plan.settings("directory")


def test_the_embedded_postgres_is_left_out_only_when_every_service_has_another(blueprint):
    elsewhere = {f"{service.upper()}_DATABASE_URL": "postgresql://db" for service in SERVICES}

    assert "postgres" not in set(blueprint(**elsewhere).port_names())
    elsewhere.pop("EXPORT_DATABASE_URL")
    assert "postgres" in set(blueprint(**elsewhere).port_names())


def test_the_summary_holds_no_secret(blueprint):
    plan = blueprint()

    told = str(plan.summary())

    secrets = plan.state.secrets()
    assert secrets.postgres not in told
    assert not any(password in told for password in secrets.nats.values())
