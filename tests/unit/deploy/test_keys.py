import json

from deploy.local.keys import MACHINES, make_keys


def _read(path):
    return json.loads(path.read_text())


def test_every_key_says_that_it_is_for_development_and_public_sets_hold_no_private_part(tmp_path):
    make_keys(tmp_path)

    for name in ("issuer.jwks", "callers.jwks"):
        for key in _read(tmp_path / name)["keys"]:
            assert key["development"] is True
            assert "d" not in key
    for name in (*MACHINES, "issuer.jwk"):
        assert _read(tmp_path / name)["development"] is True


def test_the_id_of_a_machines_key_is_its_name_as_a_caller(tmp_path):
    make_keys(tmp_path)

    callers = {key["kid"] for key in _read(tmp_path / "callers.jwks")["keys"]}
    assert callers == set(MACHINES.values())
    assert _read(tmp_path / "service-export.jwk")["kid"] == "service:export"


def test_nobody_else_may_read_a_key(tmp_path):
    make_keys(tmp_path)

    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}


def test_a_key_that_is_there_stays(tmp_path):
    make_keys(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    make_keys(tmp_path)

    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
