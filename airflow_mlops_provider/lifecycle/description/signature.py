"""What a model's signature says of itself; by itself, since all that loads models depends on it."""

from __future__ import annotations

import json


def signer_in(signature: bytes) -> str:
    """Return by which key a model's signature says that it is; empty if it does not say."""
    try:
        return str(json.loads(signature)["verificationMaterial"]["publicKey"]["hint"])
    except (ValueError, KeyError, TypeError):
        return ""
