"""Tokens that the command makes are those that services take."""

import json

import pytest
from joserfc.jwk import OKPKey

from services.chassis.identity import Role
from services.chassis.ids import uuid7
from services.chassis.interceptors.authentication import Verifier
from services.cli.failures import Failed
from services.cli.places import find
from services.cli.sessions import Person, Side, issue, parse_person
from tests.support.grpc_world import write_jwks


@pytest.fixture
def places(tmp_path):
    return find({"LOCAL_STATE": str(tmp_path), "CLINIC_KEYS": str(tmp_path)})


def make_issuer(places):
    key = OKPKey.generate_key("Ed25519", {"kid": "issuer-dev"}, private=True)
    places.issuer_key.write_text(json.dumps(key.as_dict(private=True)))
    for name in ("issuer.jwks", "callers.jwks"):
        kid = {"kid": "ops:dev"} if name == "callers.jwks" else {}
        write_jwks(places.keys / name, [key], **kid)


def verifier(places):
    return Verifier(
        issuer=places.issuer,
        audience=places.audience,
        issuer_jwks=places.keys / "issuer.jwks",
        callers_jwks=places.keys / "callers.jwks",
    )


def test_a_persons_token_is_taken_by_the_services(places):
    make_issuer(places)
    person, clinic_id, session_id = Person(Side.PROFILE, str(uuid7())), uuid7(), uuid7()

    token = issue(places, person=person, clinic_id=str(clinic_id), session_id=str(session_id))

    caller = verifier(places).verify(token)
    assert caller.role is Role.PATIENT
    assert caller.actor == str(person)
    assert (caller.clinic_id, caller.session_id) == (clinic_id, session_id)


def test_without_the_issuers_key_a_sentence_names_the_way_out(places):
    with pytest.raises(Failed, match="CLINIC_TOKEN"):
        issue(places, person=Person(Side.STAFF, "x"), clinic_id="x", session_id="x")


@pytest.mark.parametrize(
    "text", ["", "staff", "staff:", "staff:7", "owner:0190a5b0-0000-7000-8000-000000000001"]
)
def test_nobody_is_told_so(text):
    with pytest.raises(Failed, match="is nobody"):
        parse_person(text)
