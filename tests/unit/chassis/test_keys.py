"""Sealing, deriving and wrapping."""

import base64
import os

import pytest
from cryptography.exceptions import InvalidTag

from services.chassis.keys import (
    FileKeyProvider,
    WrongMasterKey,
    decode_key,
    derive,
    open_sealed,
    seal,
)

KEY = bytes(range(32))


def _file(folder, key=KEY):
    path = folder / "master.key"
    path.write_text(base64.b64encode(key).decode() + "\n")
    return path


def test_what_was_sealed_opens_in_its_place():
    assert open_sealed(KEY, seal(KEY, b"text", b"place"), b"place") == b"text"


def test_what_was_moved_does_not_open():
    with pytest.raises(InvalidTag):
        open_sealed(KEY, seal(KEY, b"text", b"place"), b"another place")


def test_another_key_does_not_open():
    with pytest.raises(InvalidTag):
        open_sealed(os.urandom(32), seal(KEY, b"text", b"place"), b"place")


def test_a_changed_bit_does_not_open():
    sealed = bytearray(seal(KEY, b"text", b"place"))
    sealed[-1] ^= 1

    with pytest.raises(InvalidTag):
        open_sealed(KEY, bytes(sealed), b"place")


def test_the_same_text_is_sealed_differently_each_time():
    assert seal(KEY, b"text", b"place") != seal(KEY, b"text", b"place")


def test_keys_of_two_purposes_have_nothing_in_common():
    assert derive(KEY, "one") == derive(KEY, "one")
    assert derive(KEY, "one") != derive(KEY, "two")
    assert len(derive(KEY, "one")) == 32


def test_a_data_key_is_unwrapped_by_the_master_key_that_wrapped_it(tmp_path):
    wrapped = FileKeyProvider(_file(tmp_path)).wrap(b"data key", b"place")

    assert b"data key" not in wrapped
    assert FileKeyProvider(_file(tmp_path)).unwrap(wrapped, b"place") == b"data key"


@pytest.mark.parametrize(("key", "place"), [(bytes(32), b"place"), (KEY, b"another place")])
def test_another_master_key_or_place_does_not_unwrap(tmp_path, key, place):
    wrapped = FileKeyProvider(_file(tmp_path)).wrap(b"data key", b"place")

    with pytest.raises(WrongMasterKey):
        FileKeyProvider(_file(tmp_path, key)).unwrap(wrapped, place)


def test_a_missing_master_key_is_a_sentence_that_names_the_file(tmp_path):
    with pytest.raises(WrongMasterKey, match=r"no master key at .*master\.key; restore the file"):
        FileKeyProvider(tmp_path / "master.key")


def test_a_master_key_that_cannot_be_read_is_a_sentence(tmp_path):
    with pytest.raises(WrongMasterKey, match="cannot be read: Is a directory"):
        FileKeyProvider(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "short", base64.b64encode(bytes(31)).decode(), "Ä" * 44, "=" * 44]
)
def test_a_malformed_key_is_named_and_not_shown(text):
    with pytest.raises(WrongMasterKey) as refused:
        decode_key(text, name="the key")

    assert str(refused.value) == "the key must be 32 bytes in base64"


def test_bytes_that_are_no_text_are_malformed(tmp_path):
    path = tmp_path / "master.key"
    path.write_bytes(bytes([0xFF] * 44))

    with pytest.raises(WrongMasterKey, match="32 bytes in base64"):
        FileKeyProvider(path)
