"""Keys with which a test signs models."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


class Keys(NamedTuple):
    """The files of a private key and its public one."""

    private: Path
    public: Path


def make_keys(folder: Path, curve: type[ec.EllipticCurve] = ec.SECP256R1, name: str = "key") -> Keys:
    """Write a new pair of keys into a folder."""
    key, keys = ec.generate_private_key(curve()), Keys(folder / f"{name}.pem", folder / f"{name}.pub")
    keys.private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    keys.public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return keys
