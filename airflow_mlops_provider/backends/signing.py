"""Signatures: of a model's files in the format of OpenSSF Model Signing, of a statement as a DSSE envelope.

The format is theirs (``model_signing`` 1.x, a key of an elliptic curve), so that their tools verify ours and ours
verify theirs; what it takes beyond a library for cryptography is a few lines, and the model server needs no more.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops_provider.exceptions import ConfigurationError, SignatureError
from airflow_mlops_provider.lifecycle.description.signature import signer_in
from airflow_mlops_provider.storage.artifacts import SIGNATURE, file_hash, files_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

#: The environment variables that hold the keys, as PEM or as the name of a file.
PRIVATE_VARIABLE, PUBLIC_VARIABLE = "MLOPS_SIGNING_PRIVATE_KEY", "MLOPS_VERIFICATION_KEY"
PAYLOAD = "application/vnd.in-toto+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://model_signing/signature/v1.0"
_HASHES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}


class Signer(NamedTuple):
    """A private key with which models are signed."""

    key: EllipticCurvePrivateKey

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of its public key, by which a signature names it."""
        return fingerprint(self.key.public_key())

    def model(self, folder: Path, name: str) -> bytes:
        """Return the signature of a model's files, for the file :data:`~.artifacts.SIGNATURE` beside them."""
        resources = [
            {"name": file, "algorithm": "sha256", "digest": sha256} for file, sha256 in _contents(folder).items()
        ]
        serialization = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": [SIGNATURE]}
        statement = {
            "_type": STATEMENT,
            "subject": [{"name": name, "digest": {"sha256": _root(resources)}}],
            "predicateType": PREDICATE,
            "predicate": {"serialization": serialization, "resources": resources},
        }
        material = {"publicKey": {"hint": self.fingerprint}, "tlogEntries": []}
        bundle = {"mediaType": BUNDLE, "verificationMaterial": material, "dsseEnvelope": self.statement(statement)}
        return json.dumps(bundle, indent=1).encode()

    def statement(self, statement: dict[str, Any]) -> dict[str, Any]:
        """Return an in-toto statement in an envelope with its signature."""
        payload = json.dumps(statement, sort_keys=True).encode()
        signature = self.key.sign(_pae(payload), _algorithm(self.key.public_key()))
        signatures = [{"sig": base64.b64encode(signature).decode(), "keyid": self.fingerprint}]
        return {"payload": base64.b64encode(payload).decode(), "payloadType": PAYLOAD, "signatures": signatures}


def signer(environment: Mapping[str, str] | None = None) -> Signer | None:
    """Return the signer whose key an environment, or this process's, holds; None if it holds none.

    :raises ConfigurationError: if that is no key.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    pem = _pem(PRIVATE_VARIABLE, environment)
    return Signer(_checked(lambda: load_pem_private_key(pem, None), PRIVATE_VARIABLE)) if pem else None


def required_key(environment: Mapping[str, str] | None = None) -> EllipticCurvePublicKey | None:
    """Return the key by which models must be signed; None if none is configured. Raises as :func:`signer`."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    pem = _pem(PUBLIC_VARIABLE, environment)
    key: EllipticCurvePublicKey | None = _checked(lambda: load_pem_public_key(pem), PUBLIC_VARIABLE) if pem else None
    return key


def verify_if_required(folder: Path, name: str) -> None:
    """Make sure that a model's files were signed by the configured key; where none is, nothing is required.

    :param name: what errors call the model.
    :raises SignatureError: if they are not.
    """
    if key := required_key():
        verify(folder, name, key)


def verify(folder: Path, name: str, key: EllipticCurvePublicKey) -> None:
    """Make sure that a model's files are those that a key signed. :raises SignatureError: naming what differs."""
    file = folder / SIGNATURE
    if not file.is_file():
        raise SignatureError(
            f"{name} is unsigned, and only what key {fingerprint(key)[:12]} signed may be loaded: configure the "
            f"signing key and clear the task that registered it, or sign the folder with `model_signing` as {SIGNATURE}"
        )
    signed = _signed(file.read_bytes(), name, key)
    here = _contents(folder)
    differing = sorted(name for name in signed.keys() | here.keys() if signed.get(name) != here.get(name))
    if differing:
        raise SignatureError(f"{name}: {differing[0]!r} is not the file that was signed")


def _signed(data: bytes, name: str, key: EllipticCurvePublicKey) -> dict[str, str]:
    """Return the SHA-256 of each file that was signed. :raises SignatureError: if the key did not sign it."""
    from cryptography.exceptions import InvalidSignature

    try:
        envelope = json.loads(data)["dsseEnvelope"]
        payload = base64.b64decode(envelope["payload"], validate=True)
        key.verify(base64.b64decode(envelope["signatures"][0]["sig"], validate=True), _pae(payload), _algorithm(key))
        statement = json.loads(payload)
        if statement["predicateType"] == PREDICATE:
            return {resource["name"]: resource["digest"] for resource in statement["predicate"]["resources"]}
        flaw = f"it signs a {statement['predicateType']}"
    except InvalidSignature:
        by = f"key {hint[:12]}" if (hint := signer_in(data)) else "no known key"
        raise SignatureError(
            f"{name} is wrongly signed: by {by}, and not, or not as it is now, by {fingerprint(key)[:12]}, the "
            "configured key"
        ) from None
    except (ValueError, KeyError, TypeError, IndexError) as error:
        flaw = f"{type(error).__name__}: {error}"
    raise SignatureError(f"{name}: {SIGNATURE} is no signature of a model: {flaw[:200]}")


def _contents(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): file_hash(path) for path in files_of(folder)}


def _root(resources: list[dict[str, str]]) -> str:
    return hashlib.sha256(b"".join(bytes.fromhex(resource["digest"]) for resource in resources)).hexdigest()


def _pae(payload: bytes) -> bytes:
    """Return what is signed of a payload: DSSE's pre-authentication encoding."""
    return b" ".join([b"DSSEv1", str(len(PAYLOAD)).encode(), PAYLOAD.encode(), str(len(payload)).encode(), payload])


def _algorithm(key: EllipticCurvePublicKey) -> Any:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA

    return ECDSA(getattr(hashes, _HASHES[key.curve.name])())


def fingerprint(key: EllipticCurvePublicKey) -> str:
    """Return the SHA-256 of a public key in PEM, by which a signature names it."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _pem(variable: str, environment: Mapping[str, str] | None) -> bytes | None:
    """Return a key's PEM, from the variable itself or the file that it names; None if it is not set."""
    value = (os.environ if environment is None else environment).get(variable, "").strip()
    if not value or value.startswith("-----BEGIN"):
        return value.encode() or None
    try:
        return Path(value).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{variable} is neither a key in PEM nor a file with one: {error.strerror}") from None


def _checked(load: Any, variable: str) -> Any:
    """Return a loaded key. :raises ConfigurationError: for any other than of a curve that the format knows."""
    try:
        key = load()
    except (ValueError, TypeError):
        raise ConfigurationError(f"{variable} holds no key in PEM without a passphrase") from None
    if getattr(getattr(key, "curve", None), "name", "") not in _HASHES:
        raise ConfigurationError(f"{variable} holds another key than one of {', '.join(_HASHES)} (openssl ecparam)")
    return key
