import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey

from services.chassis.settings import RefusedToStart
from services.export.formats.signing import manifest_signer
from services.export_format.signature import is_signed, read_keys, signature_of

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEYS = {"service:export": KEY.public_key()}
MANIFEST = b'{"a": 1}\n'


def jwk_of(path, key):
    path.write_text(json.dumps(key.as_dict(private=True)))
    return path


def test_any_jose_library_can_check_the_signature():
    signature = signature_of(MANIFEST, kid="service:export", key=KEY)
    public = base64.urlsafe_b64encode(KEY.public_key().public_bytes_raw()).decode().rstrip("=")
    key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": public})
    detached = signature.decode().strip()

    obj = jws.deserialize_compact(detached, key, algorithms=["EdDSA"], payload=MANIFEST)

    assert obj.headers() == {
        "alg": "EdDSA",
        "kid": "service:export",
        "typ": "clinic-messages-export",
    }


def test_a_signature_has_one_spelling():
    signature = signature_of(MANIFEST, kid="service:export", key=KEY)

    others = [signature + b"\n", signature[:-1], signature[:-1] + b"=\n", b" " + signature]

    assert is_signed(MANIFEST, signature, KEYS)
    assert [is_signed(MANIFEST, other, KEYS) for other in others] == [False] * 4


def test_no_other_algorithm_is_taken():
    def header(members):
        return base64.urlsafe_b64encode(json.dumps(members).encode()).rstrip(b"=")

    sealed = signature_of(MANIFEST, kid="service:export", key=KEY).partition(b"..")[2]
    forged = header({"alg": "none", "kid": "service:export"}) + b".." + sealed

    assert not is_signed(MANIFEST, forged, KEYS)


def test_the_service_signs_with_its_own_key(tmp_path):
    own = OKPKey.generate_key("Ed25519", {"kid": "service:export"})
    stranger = ECKey.generate_key("P-256", {"kid": "service:directory"})
    signer = manifest_signer(jwk_of(tmp_path / "own.jwk", own))
    callers = {"keys": [own.as_dict(private=False), stranger.as_dict(private=False)]}

    keys = read_keys(json.dumps(callers).encode())

    assert is_signed(MANIFEST, signer.sign(MANIFEST), keys)
    assert list(keys) == ["service:export"]


def test_keys_are_read_from_a_single_key_too():
    own = OKPKey.generate_key("Ed25519", {"kid": "service:export"})

    assert list(read_keys(json.dumps(own.as_dict(private=False)).encode())) == ["service:export"]


@pytest.mark.parametrize(
    "nonsense", [b"", b"1", b"{}", b'{"keys":[]}', b'{"keys":[{"kty":"OKP"}]}']
)
def test_a_file_without_keys_is_refused(nonsense):
    with pytest.raises(ValueError):
        read_keys(nonsense)


def test_a_key_whose_signatures_differ_each_time_keeps_the_service_from_starting(tmp_path):
    key = ECKey.generate_key("P-256", {"kid": "service:export"})

    with pytest.raises(RefusedToStart, match="Ed25519"):
        manifest_signer(jwk_of(tmp_path / "own.jwk", key))


def test_a_missing_key_keeps_the_service_from_starting(tmp_path):
    with pytest.raises(RefusedToStart, match="cannot be read"):
        manifest_signer(tmp_path / "none.jwk")
