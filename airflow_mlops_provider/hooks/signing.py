"""The keys with which models are signed when they are registered, and verified when they are loaded."""

from __future__ import annotations

from typing import Any

from airflow_mlops_provider.backends import signing
from airflow_mlops_provider.exceptions import BackendError, ConfigurationError
from airflow_mlops_provider.hooks.base import ServiceHook


class SigningHook(ServiceHook):
    """A pair of keys of an elliptic curve, each in PEM or as a file that the jobs can read; without it, none.

    The password is the private key: with it models are signed. ``public_key`` is what they must be signed by: with it
    nothing else is loaded. Only the job that registers a model sees the private key.
    """

    default_conn_name = "mlops_signing"
    conn_type = "mlops_signing"
    hook_name = "MLOps signing keys"
    password_variable = signing.PRIVATE_VARIABLE

    def settings(self) -> dict[str, Any]:
        """Return the public key, as it is configured."""
        return {"public_key": self.extra.get("public_key")}

    def secrets(self) -> dict[str, str]:
        return {**super().secrets(), **self.public()}

    def public(self) -> dict[str, str]:
        """Return the environment variable that lets a job verify models; none without a public key."""
        key = self.settings()["public_key"]
        return {signing.PUBLIC_VARIABLE: str(key)} if key else {}

    def get_conn(self) -> signing.Signer:
        """Return what signs. :raises ConfigurationError: if there is no private key."""
        signer = signing.signer(self.secrets())
        if signer is None:
            raise self.error("has no private key; give it as the password")
        return signer

    def probe(self) -> str:
        """Read both keys, and see that they belong together."""
        try:
            signer, required = signing.signer(self.secrets()), signing.required_key(self.secrets())
        except ConfigurationError as error:
            raise BackendError(str(error)) from None
        verified = signing.fingerprint(required) if required else ""
        if signer and verified and signer.fingerprint != verified:
            raise BackendError("the public key is not that of the private key: what is signed would not be loaded")
        signs = f"models are signed by key {signer.fingerprint[:12]}" if signer else "models are not signed"
        return f"{signs}, and {f'only what key {verified[:12]} signed is' if verified else 'unsigned ones are'} loaded"
