"""Signatures of bundles: who exported it, told by an ed25519 key. Needs the package ``cryptography`` where one is made or checked."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from a2po.errors import BundleError, UserError, did_you_mean, require

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ALGORITHM = "ed25519"
UNSIGNED = ("evaluation", "signature")
"""Parts of the manifest that may change after a bundle was signed."""
UNSIGNED_FILE = "MODEL_CARD.md"
"""The card is written again when an evaluation is noted."""
MAX_KEY = 1 << 16
MAKE_KEY = "openssl genpkey -algorithm ed25519 -out key.pem"


class SignatureError(BundleError):
    """A bundle is not signed, or not by the key that was asked for, or was altered afterwards."""


def signed_bytes(manifest: Mapping[str, Any]) -> bytes:
    """What a signature covers: the manifest, and through its hashes every file, but for what a later evaluation changes.

    Canonical JSON: sorted keys, no spaces, ASCII.
    """
    kept = {part: value for part, value in manifest.items() if part not in UNSIGNED}
    kept["files"] = {name: entry for name, entry in manifest["files"].items() if name != UNSIGNED_FILE}
    return json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def sign(manifest: Mapping[str, Any], key_path: Path | str) -> dict[str, str]:
    """The signature of a manifest that is complete but for it.

    Args:
        manifest: with the hashes of all files.
        key_path: an ed25519 private key as ``openssl genpkey -algorithm ed25519`` writes it.

    Returns: algorithm, public_key (32 bytes) and signature (64 bytes) in base64.

    Raises:
        UserError: the key cannot be used.
        DependencyError: the package ``cryptography`` is missing.
    """
    key = private_key(Path(key_path))
    public = key.public_key().public_bytes_raw()
    signature = key.sign(signed_bytes(manifest))
    return {"algorithm": ALGORITHM, "public_key": base64.b64encode(public).decode(), "signature": base64.b64encode(signature).decode()}


def check(manifest: Mapping[str, Any], public_key_path: Path | str | None = None) -> str:
    """Check the signature of a manifest.

    Args:
        manifest: of a bundle whose files have the hashes that it lists.
        public_key_path: the key that must have signed; None to accept whatever key the bundle names, which tells that nothing was
            altered since, not by whom it was signed.

    Returns: the fingerprint of the key that signed.

    Raises:
        SignatureError: there is no signature, it is not of that key, or it does not fit the bundle.
        UserError: the key cannot be used.
        DependencyError: the package ``cryptography`` is missing.
    """
    require("checking a signature", cryptography="sign")
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    wanted = None if public_key_path is None else public_key(Path(public_key_path)).public_bytes_raw()
    raw, signature = _embedded(manifest)
    if wanted is not None and raw != wanted:
        raise SignatureError(f"it is signed by another key ({fingerprint(raw)}) than the one asked for ({fingerprint(wanted)})")
    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(signature, signed_bytes(manifest))
    except (InvalidSignature, ValueError):
        raise SignatureError(
            f"the signature of the key {fingerprint(raw)} does not fit: the bundle was altered after it was signed"
        ) from None
    return fingerprint(raw)


def signer(manifest: Mapping[str, Any]) -> str:
    """The fingerprint of the key that a manifest names, without checking anything.

    Raises:
        SignatureError: it names none.
    """
    return fingerprint(_embedded(manifest)[0])


def fingerprint(public: bytes) -> str:
    """A public key in short: 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(public).hexdigest()[:16]


def _embedded(manifest: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """The public key and the signature that a manifest carries. Raises: SignatureError."""
    entry = manifest.get("signature")
    if entry is None:
        raise SignatureError("it is not signed ('a2po export --sign KEY' signs)")
    try:
        if entry["algorithm"] != ALGORITHM:
            raise SignatureError(f"it is signed with {entry['algorithm']!r:.40}; this a2po knows {ALGORITHM} alone")
        raw, signature = (base64.b64decode(entry[part], validate=True) for part in ("public_key", "signature"))
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise SignatureError("its signature is malformed") from None
    if (len(raw), len(signature)) != (32, 64):
        raise SignatureError("its signature is malformed")
    return raw, signature


def private_key(path: Path) -> Ed25519PrivateKey:
    """The key that signs.

    Raises:
        UserError: there is none in the file.
        DependencyError: the package ``cryptography`` is missing.
    """
    require("signing a bundle", cryptography="sign")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    text = _pem(path)
    if b"PUBLIC KEY" in text and b"PRIVATE KEY" not in text:
        raise UserError(f"'{path}' is a public key; a bundle is signed with the private one ({MAKE_KEY})")
    try:
        key = load_pem_private_key(text, None)
    except TypeError:  # a password is needed
        plain = f"openssl pkey -in {shlex.quote(str(path))} -out plain.pem"
        raise UserError(f"the key '{path}' is encrypted, and a2po asks for no passwords: {plain}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise UserError(f"'{path}' holds no private key in the PEM form: {MAKE_KEY}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise UserError(f"the key '{path}' is {_kind(key)}; bundles are signed with {ALGORITHM}: {MAKE_KEY}")
    return key


def public_key(path: Path) -> Ed25519PublicKey:
    """The key that a signature is checked with.

    Raises:
        UserError: there is none in the file.
        DependencyError: the package ``cryptography`` is missing.
    """
    require("checking a signature", cryptography="sign")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    text, extract = _pem(path), f"openssl pkey -in {shlex.quote(str(path))} -pubout -out public.pem"
    if b"PRIVATE KEY" in text:
        raise UserError(f"'{path}' is a private key, which stays with whoever signs; signatures are checked with the public one: {extract}")
    try:
        key = load_pem_public_key(text)
    except (ValueError, UnsupportedAlgorithm):
        raise UserError(f"'{path}' holds no public key in the PEM form: openssl pkey -in key.pem -pubout -out public.pem") from None
    if not isinstance(key, Ed25519PublicKey):
        raise UserError(f"the key '{path}' is {_kind(key)}; bundles are signed with {ALGORITHM}")
    return key


def _pem(path: Path) -> bytes:
    """The text of a key file. Raises: UserError: there is none that can be read."""
    try:
        if not path.is_file():
            what = "is no file" if path.exists() else "does not exist"
            siblings = [str(other) for other in path.parent.iterdir()] if path.parent.is_dir() else []
            raise UserError(f"the key file '{path}' {what}{did_you_mean(str(path), siblings)} (a new key: {MAKE_KEY})")
        with path.open("rb") as file:
            text = file.read(MAX_KEY)
    except OSError as error:
        raise UserError(f"the key file '{path}' cannot be read: {error.strerror or error}") from None
    if b"BEGIN OPENSSH" in text or text.startswith(b"ssh-"):
        raise UserError(f"'{path}' is a key of OpenSSH; bundles take keys in the PEM form: {MAKE_KEY}")
    return text


def _kind(key: object) -> str:
    """``an RSA key`` for a key of the package's class for such."""
    name = type(key).__name__.removeprefix("_").partition("P")[0]
    return f"a key of the kind {name}"
