"""Who exported a bundle is told by a key; every key that cannot be used is told with what to do."""

from __future__ import annotations

import base64
import copy
import os
import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from a2po.errors import UserError
from a2po.runtime import signature
from a2po.runtime.signature import SignatureError, check, sign, signed_bytes

MANIFEST = {
    "format": 2,
    "task": {"name": "matrix/übung"},
    "agents": {"a": {"file": "agents/a.onnx"}},
    "files": {"agents/a.onnx": {"sha256": "11"}, "MODEL_CARD.md": {"sha256": "22"}},
    "evaluation": None,
}


def write_private(path, key, password=None):
    locked = serialization.NoEncryption() if password is None else serialization.BestAvailableEncryption(password)
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked))


def write_public(path, key):
    path.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))


@pytest.fixture
def keys(tmp_path, monkeypatch):
    """key.pem, public.pem and those of somebody else."""
    monkeypatch.chdir(tmp_path)
    for name in ("", "other_"):
        key = ed25519.Ed25519PrivateKey.generate()
        write_private(tmp_path / f"{name}key.pem", key)
        write_public(tmp_path / f"{name}public.pem", key)
    return tmp_path


@pytest.fixture
def signed(keys):
    return {**MANIFEST, "signature": sign(MANIFEST, "key.pem")}


def test_a_signature_fits_what_was_signed(signed):
    found = check(signed, "public.pem")
    assert found == check(signed) and len(found) == 16
    assert {name: len(base64.b64decode(signed["signature"][name])) for name in ("public_key", "signature")} == {
        "public_key": 32,
        "signature": 64,
    }


def test_what_an_evaluation_changes_is_not_covered(signed):
    noted = copy.deepcopy(signed)
    noted["evaluation"] = {"mean": 1.0}
    noted["files"]["MODEL_CARD.md"]["sha256"] = "33"
    assert signed_bytes(noted) == signed_bytes(MANIFEST) and check(noted, "public.pem")


@pytest.mark.parametrize("part", ["format", "task", "agents", "files"])
def test_everything_else_is_covered(signed, part):
    altered = copy.deepcopy(signed)
    altered[part] = {"agents/a.onnx": {"sha256": "44"}} if part == "files" else "other"
    for key in (None, "public.pem"):
        with pytest.raises(SignatureError, match="does not fit: the bundle was altered after it was signed"):
            check(altered, key)


def test_an_added_part_is_covered(signed):
    with pytest.raises(SignatureError, match="altered"):
        check({**signed, "note": 1})


def test_the_signature_of_somebody_else(signed):
    with pytest.raises(SignatureError, match=r"signed by another key \([0-9a-f]{16}\) than the one asked for"):
        check(signed, "other_public.pem")
    stolen = copy.deepcopy(signed)
    stolen["signature"]["public_key"] = base64.b64encode(
        signature.public_key(signature.Path("other_public.pem")).public_bytes_raw()
    ).decode()
    with pytest.raises(SignatureError, match="does not fit"):
        check(stolen, "other_public.pem")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (None, r"it is not signed \('a2po export --sign KEY' signs\)"),
        ({}, "malformed"),
        (5, "malformed"),
        ({"algorithm": "rsa"}, "signed with 'rsa'; this a2po knows ed25519 alone"),
        ({"algorithm": "ed25519", "public_key": "????", "signature": ""}, "malformed"),
        ({"algorithm": "ed25519", "public_key": 5, "signature": 5}, "malformed"),
        ({"algorithm": "ed25519", "public_key": "AAAA", "signature": "AAAA"}, "malformed"),
        ({"algorithm": "ed25519", "public_key": "ü", "signature": "AAAA"}, "malformed"),
        (
            {
                "algorithm": "ed25519",
                "public_key": base64.b64encode(b"key." * 8).decode(),
                "signature": base64.b64encode(bytes(64)).decode(),
            },
            "fit",
        ),
    ],
)
def test_no_signature_or_none_that_can_be_read(entry, words):
    with pytest.raises(SignatureError, match=words):
        check({**MANIFEST, "signature": entry})


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
def test_keys_of_openssl(tmp_path, monkeypatch):
    """The commands that the messages name."""
    monkeypatch.chdir(tmp_path)
    subprocess.run(signature.MAKE_KEY.split(), check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", "key.pem", "-pubout", "-out", "public.pem"], check=True, capture_output=True)
    assert check({**MANIFEST, "signature": sign(MANIFEST, "key.pem")}, "public.pem")


def test_private_keys_that_cannot_sign(keys):
    write_private(keys / "locked.pem", ed25519.Ed25519PrivateKey.generate(), b"secret")
    write_private(keys / "rsa.pem", rsa.generate_private_key(65537, 1024))
    write_private(keys / "ec.pem", ec.generate_private_key(ec.SECP256R1()))
    (keys / "text.pem").write_text("hello")
    (keys / "torn.pem").write_bytes((keys / "key.pem").read_bytes()[:60])
    (keys / "empty.pem").write_bytes(b"")
    (keys / "ssh.pem").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    for name, words in {
        "kye.pem": r"'kye\.pem' does not exist; did you mean 'key\.pem'.*openssl genpkey",
        ".": "is no file",
        "public.pem": "is a public key; a bundle is signed with the private one",
        "locked.pem": r"is encrypted, and a2po asks for no passwords: openssl pkey -in locked\.pem -out plain\.pem",
        "rsa.pem": "is a key of the kind RSA; bundles are signed with ed25519: openssl genpkey",
        "ec.pem": "is a key of the kind EC;",
        "text.pem": "holds no private key in the PEM form: openssl genpkey",
        "torn.pem": "holds no private key",
        "empty.pem": "holds no private key",
        "ssh.pem": "is a key of OpenSSH",
    }.items():
        with pytest.raises(UserError, match=words):
            sign(MANIFEST, name)


def test_public_keys_that_cannot_check(keys, signed):
    write_public(keys / "rsa.pem", rsa.generate_private_key(65537, 1024))
    (keys / "text.pem").write_text("hello")
    for name, words in {
        "pubic.pem": "does not exist; did you mean 'public.pem'",
        "key.pem": r"is a private key, which stays with whoever signs.*openssl pkey -in key\.pem -pubout",
        "rsa.pem": "is a key of the kind RSA; bundles are signed with ed25519",
        "text.pem": "holds no public key in the PEM form",
    }.items():
        with pytest.raises(UserError, match=words) as caught:
            check(signed, name)
        assert not isinstance(caught.value, SignatureError)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_key_that_may_not_be_read(keys):
    (keys / "key.pem").chmod(0)
    with pytest.raises(UserError, match=r"cannot be read: Permission denied"):
        sign(MANIFEST, "key.pem")


def test_without_the_package(keys, monkeypatch):
    monkeypatch.setattr("a2po.errors.find_spec", lambda package: None)
    for call in (lambda: sign(MANIFEST, "key.pem"), lambda: check(MANIFEST, None)):
        with pytest.raises(UserError, match=r'needs the package \'cryptography\'.*pip install "a2po\[sign\]"'):
            call()
