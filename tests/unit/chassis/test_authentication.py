"""Which tokens are taken, and for whom; every other one is refused alike."""

import base64
import hmac
import json
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey, OKPKey

from services.chassis.client import Signer
from services.chassis.errors import ClinicRequired, Unauthenticated
from services.chassis.identity import Role
from services.chassis.settings import RefusedToStart
from tests.support.grpc_world import Keys, signed, write_jwks
from tests.support.set_clock import SetClock

# The same in every worker: it is part of the tests' names.
AN_ID = "0190a5b0-0000-7000-8000-000000000001"


@pytest.fixture
def clock():
    return SetClock()


@pytest.fixture
def keys(tmp_path, clock):
    return Keys(tmp_path, clock)


@pytest.fixture
def verifier(keys):
    return keys.verifier()


def now_of(keys: Keys, **by: float) -> int:
    return int((keys.clock() + timedelta(**by)).timestamp())


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(header: object, claims: object, sign: Callable[[bytes], bytes]) -> str:
    """A token as an attacker makes it: nothing is checked."""
    signing_input = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(claims).encode())}"
    return f"{signing_input}.{encoded(sign(signing_input.encode()))}"


@pytest.mark.parametrize("key", ["ed25519", "p256"])
def test_a_person_is_taken_with_either_kind_of_key(keys, verifier, key):
    claims = keys.person_claims()

    caller = verifier.verify(signed(claims, getattr(keys, key)))

    assert caller.actor == claims["acting"]
    assert caller.role is Role.STAFF
    assert str(caller.clinic_id) == claims["clinic_id"]
    assert str(caller.session_id) == claims["sid"]
    assert f"staff:{caller.person_id}" == claims["acting"]
    assert int(caller.expires_at.timestamp()) == claims["exp"]


def test_the_new_name_of_eddsa_is_taken_too(keys, verifier):
    verifier.verify(signed(keys.person_claims(), keys.ed25519, algorithm="Ed25519"))


def test_a_patient_is_another_caller_than_the_same_human_as_staff(keys, verifier):
    caller = verifier.verify(keys.person(acting=f"profile:{uuid4()}"))

    assert caller.role is Role.PATIENT


def test_one_of_several_audiences_is_enough(keys, verifier):
    verifier.verify(keys.person(aud=["other", "clinic"]))


def refused(verifier, token: str) -> None:
    """Refused, and always with the same words."""
    with pytest.raises(Unauthenticated, match="the token is not valid"):
        verifier.verify(token)


def test_a_token_without_signature_is_refused(keys, verifier):
    claims = keys.person_claims()

    refused(verifier, compact({"alg": "none", "kid": "issuer-1"}, claims, lambda _: b""))


@pytest.mark.parametrize("form", [PublicFormat.Raw, PublicFormat.SubjectPublicKeyInfo])
def test_the_public_key_is_no_shared_secret(keys, verifier, form):
    encoding = Encoding.Raw if form is PublicFormat.Raw else Encoding.PEM
    public = keys.ed25519.public_key.public_bytes(encoding, form)
    header = {"alg": "HS256", "kid": "issuer-1"}

    refused(
        verifier,
        compact(header, keys.person_claims(), lambda data: hmac.digest(public, data, "sha256")),
    )


def test_a_key_verifies_only_with_the_algorithm_of_its_type(keys, verifier):
    other = ECKey.generate_key("P-256", {"kid": "issuer-1"})

    refused(verifier, signed(keys.person_claims(), other))


def test_another_algorithm_is_refused(keys, verifier):
    other = rsa.generate_private_key(65537, 2048)
    header = {"alg": "RS256", "kid": "issuer-1"}

    refused(
        verifier,
        compact(header, keys.person_claims(), lambda data: other.sign(data, PKCS1v15(), SHA256())),
    )


def test_an_unknown_kid_is_refused(keys, verifier):
    refused(verifier, signed(keys.person_claims(), keys.ed25519, kid="issuer-9"))


@pytest.mark.parametrize("kid", [None, 1, ["issuer-1"], {"a": 1}, ""])
def test_a_kid_that_is_no_name_is_refused(keys, verifier, kid):
    sign = keys.ed25519.private_key.sign

    refused(verifier, compact({"alg": "EdDSA", "kid": kid}, keys.person_claims(), sign))


@pytest.mark.parametrize("header", [{"crit": ["x"], "x": 1}, {"crit": ["kid"]}, {"crit": []}])
def test_a_critical_header_is_refused(keys, verifier, header):
    sign = keys.ed25519.private_key.sign
    known = {"alg": "EdDSA", "kid": "issuer-1"}
    verifier.verify(compact(known, keys.person_claims(), sign))

    refused(verifier, compact(known | header, keys.person_claims(), sign))


def test_a_key_named_or_carried_by_the_token_is_not_used(keys, verifier):
    own = OKPKey.generate_key("Ed25519", {"kid": "issuer-1"})
    token = signed(
        keys.person_claims(), own, jku="https://evil.test/jwks", jwk=own.as_dict(private=False)
    )

    refused(verifier, token)


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.test"},
        {"aud": "other"},
        {"aud": ["other"]},
        {"acting": "staff:jane"},
        {"acting": f"ops:{AN_ID}"},
        {"acting": f"service:{AN_ID}"},
        {"acting": AN_ID},
        {"clinic_id": "clinic"},
        {"clinic_id": f"{{{AN_ID}}}"},
        {"sid": "session"},
        {"sid": 7},
        {"exp": "soon"},
        {"exp": True},
        {"exp": 1e300},
        {"exp": float("inf")},
        {"iat": float("nan")},
    ],
    ids=str,
)
def test_a_claim_that_is_wrong_is_refused(keys, verifier, changes):
    refused(verifier, keys.person(**changes))


@pytest.mark.parametrize(
    "claim", ["iss", "aud", "exp", "nbf", "iat", "sub", "sid", "clinic_id", "acting"]
)
def test_a_claim_that_is_missing_is_refused(keys, verifier, claim):
    refused(verifier, keys.person(**{claim: None}))


def test_a_token_ends_at_its_expiry_without_leeway(keys, verifier):
    verifier.verify(keys.person(exp=now_of(keys, seconds=1)))

    refused(verifier, keys.person(exp=now_of(keys)))


@pytest.mark.parametrize("claim", ["nbf", "iat"])
def test_a_token_of_the_future_is_taken_within_five_seconds(keys, verifier, claim):
    verifier.verify(keys.person(**{claim: now_of(keys, seconds=5)}))

    refused(verifier, keys.person(**{claim: now_of(keys, seconds=6)}))


def test_a_token_lives_no_longer_than_a_day(keys, verifier):
    verifier.verify(keys.person(exp=now_of(keys, hours=24)))

    refused(verifier, keys.person(exp=now_of(keys, hours=24, seconds=1)))


@pytest.mark.parametrize("token", ["", "x", "a.b", "a.b.c", "a.b.c.d.e", "é.é.é", "." * 9_000])
def test_what_is_no_token_is_refused(verifier, token):
    refused(verifier, token)


@pytest.mark.parametrize("part", ["[]", "7", "null", '"x"', '{"kid":"issuer-1"}', "{", "\xff"])
def test_a_header_or_a_body_of_another_shape_is_refused(keys, verifier, part):
    head, body, signature = keys.person().split(".")
    other = encoded(part.encode("latin-1"))

    refused(verifier, f"{other}.{body}.{signature}")
    refused(verifier, f"{head}.{other}.{signature}")


def test_a_signed_body_that_is_no_object_is_refused(keys, verifier):
    header = {"alg": "EdDSA", "kid": "issuer-1"}

    refused(verifier, compact(header, ["a"], keys.ed25519.private_key.sign))


def test_a_good_token_is_not_taken_past_its_expiry_though_it_was_seen_good(keys, verifier, clock):
    token = keys.person(exp=now_of(keys, seconds=60))
    verifier.verify(token)

    clock.advance(seconds=59)
    verifier.verify(token)
    clock.advance(seconds=1)

    refused(verifier, token)


def test_a_token_seen_good_is_not_verified_again(keys, verifier):
    token = keys.person()

    assert verifier.verify(token) is verifier.verify(token)


def test_the_memory_of_tokens_is_bounded(keys, verifier, monkeypatch):
    monkeypatch.setattr("services.chassis.interceptors.authentication._CACHED_TOKENS", 2)
    first, *others = (keys.person() for _ in range(3))
    caller = verifier.verify(first)
    for token in others:
        verifier.verify(token)

    assert verifier.verify(first) is not caller


def test_a_machine_is_who_its_key_is(keys, verifier):
    caller = verifier.verify(keys.machine("service:export"))

    assert (caller.actor, caller.role, caller.clinic_id) == (
        "service:export",
        Role.SERVICE,
        None,
    )


def test_a_machine_cannot_speak_for_another(keys, verifier):
    refused(verifier, keys.machine("service:export", sub="ops:support"))


def test_a_machine_cannot_make_a_persons_token(keys, verifier):
    refused(verifier, signed(keys.person_claims(), keys.machines["service:export"]))


def test_the_issuer_cannot_make_a_machines_token(keys, verifier):
    claims = keys.person_claims(sub="ops:support")

    refused(verifier, signed(claims, keys.ed25519, kid="ops:support"))


def test_the_token_a_service_signs_is_taken_by_another(keys, verifier, clock, tmp_path):
    path = tmp_path / "service-export.jwk"
    path.write_text(json.dumps(keys.machines["service:export"].as_dict(private=True)))
    signer = Signer(path, audience="clinic", clock=clock)

    assert verifier.verify(signer.token()).actor == "service:export"


def test_a_signers_token_is_kept_and_renewed_before_it_ends(keys, verifier, clock, tmp_path):
    path = tmp_path / "service-export.jwk"
    path.write_text(json.dumps(keys.machines["service:export"].as_dict(private=True)))
    signer = Signer(path, audience="clinic", clock=clock)
    first = signer.token()
    clock.advance(seconds=39)
    kept = signer.token()
    clock.advance(seconds=1)

    renewed = signer.token()

    assert kept == first
    assert renewed != first
    assert verifier.verify(renewed).expires_at - clock.now == timedelta(seconds=60)


def metadata(token: str, **more: str):
    pairs = {"authorization": f"Bearer {token}"} | {
        key.replace("_", "-"): value for key, value in more.items()
    }
    return lambda key: pairs.get(key, "")


def test_a_machine_names_its_clinic_in_metadata(keys, verifier):
    clinic = uuid4()

    caller = verifier.caller(metadata(keys.machine("ops:support"), clinic_id=str(clinic)))

    assert caller.clinic == clinic
    with pytest.raises(ClinicRequired):
        _ = verifier.caller(metadata(keys.machine("ops:support"))).clinic


@pytest.mark.parametrize("clinic", ["north", f"urn:uuid:{AN_ID}", "' or 1=1"])
def test_a_clinic_that_is_no_id_is_refused(keys, verifier, clinic):
    with pytest.raises(ClinicRequired):
        verifier.caller(metadata(keys.machine("ops:support"), clinic_id=clinic))


def test_a_persons_clinic_is_the_tokens_whatever_the_metadata_say(keys, verifier):
    clinic = str(uuid4())

    caller = verifier.caller(metadata(keys.person(clinic_id=clinic), clinic_id=str(uuid4())))

    assert caller.clinic == UUID(clinic)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic abc", "token"])
def test_without_a_bearer_token_nobody_is_calling(verifier, header):
    with pytest.raises(Unauthenticated):
        verifier.caller(lambda key: header if key == "authorization" else "")


def test_a_key_added_to_the_file_is_taken_without_restart(keys, verifier, clock):
    added = OKPKey.generate_key("Ed25519", {"kid": "issuer-3"})
    token = signed(keys.person_claims(), added)
    refused(verifier, token)

    write_jwks(keys.issuer_jwks, [keys.ed25519, added])
    clock.advance(seconds=2)

    verifier.verify(token)


def test_a_key_taken_from_the_file_ends_tokens_that_were_seen_good(keys, verifier, clock):
    token = keys.person()
    verifier.verify(token)

    write_jwks(keys.issuer_jwks, [keys.p256])
    clock.advance(seconds=2)

    refused(verifier, token)


def test_a_machines_key_is_rotated_with_both_in_the_file(keys, verifier, clock):
    new = OKPKey.generate_key("Ed25519", {"kid": "ops:support"})
    old = keys.machines["ops:support"]
    write_jwks(keys.callers_jwks, [old, new])
    clock.advance(seconds=2)

    assert verifier.verify(keys.machine("ops:support")).actor == "ops:support"
    keys.machines["ops:support"] = new
    assert verifier.verify(keys.machine("ops:support")).actor == "ops:support"


@pytest.mark.parametrize("content", ["{", '{"keys": []}'])
def test_a_file_that_breaks_later_leaves_the_keys_read_before(keys, verifier, clock, content):
    keys.issuer_jwks.write_text(content)
    clock.advance(seconds=2)

    verifier.verify(keys.person())


@pytest.mark.parametrize("content", ["", "{", "[]", '{"keys": 7}', '{"keys": []}', '{"keys": [7]}'])
@pytest.mark.parametrize("file", ["issuer_jwks", "callers_jwks"])
def test_without_keys_the_process_does_not_start(keys, file, content):
    getattr(keys, file).write_text(content)

    with pytest.raises(RefusedToStart, match=r"\.jwks"):
        keys.verifier()


def test_a_missing_key_file_keeps_the_process_from_starting(keys):
    keys.callers_jwks.unlink()

    with pytest.raises(RefusedToStart, match="cannot be read"):
        keys.verifier()


def test_a_private_key_in_a_public_file_keeps_the_process_from_starting(keys):
    private = keys.ed25519.as_dict(private=True)
    keys.issuer_jwks.write_text(json.dumps({"keys": [private]}))

    with pytest.raises(RefusedToStart, match="private"):
        keys.verifier()


@pytest.mark.parametrize("kid", ["staff:1", "export", "service:", "root:x", "service:a b"])
def test_a_caller_key_that_names_no_machine_keeps_the_process_from_starting(keys, kid):
    write_jwks(keys.callers_jwks, [OKPKey.generate_key("Ed25519", {"kid": kid})])

    with pytest.raises(RefusedToStart, match="names no machine"):
        keys.verifier()


@pytest.mark.parametrize("file", ["issuer_jwks", "callers_jwks"])
def test_development_keys_are_for_development(keys, file):
    machines = list(keys.machines.values())
    own = [keys.ed25519] if file == "issuer_jwks" else machines
    write_jwks(getattr(keys, file), own, development=True)

    keys.verifier(development=True).verify(keys.person())
    with pytest.raises(RefusedToStart, match="development key"):
        keys.verifier()
