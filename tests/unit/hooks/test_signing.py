"""The keys reach the jobs that need them: the public one all, the private one the registration alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_mlops_provider.backends.signing import PRIVATE_VARIABLE, PUBLIC_VARIABLE
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.hooks.services import services
from airflow_mlops_provider.hooks.signing import SigningHook
from airflow_mlops_provider.places.kubernetes.manifest import refuse_unreferenced
from airflow_mlops_provider.places.kubernetes.settings import PodSettings
from airflow_mlops_provider.runtime.definition import all_jobs
from airflow_mlops_provider.runtime.process.masks import Mask
from tests.factories.keys import Keys, make_keys


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keys:
    """A connection with both keys: the private one as PEM, the public one as a file."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    keys = make_keys(tmp_path)
    define(monkeypatch, keys.private.read_text(), str(keys.public))
    return keys


def define(monkeypatch: pytest.MonkeyPatch, private: str | None, public: str | None) -> None:
    conn = {"conn_type": "mlops_signing", "password": private, "extra": {"public_key": public}}
    monkeypatch.setenv("AIRFLOW_CONN_MLOPS_SIGNING", json.dumps(conn))


def test_without_a_connection_nothing_is_signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is required; who asks for the signer hears so."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    assert SigningHook().secrets() == {}
    assert SigningHook().test_connection() == (True, "models are not signed, and unsigned ones are loaded")
    with pytest.raises(ConfigurationError, match="has no private key"):
        SigningHook().get_conn()


def test_who_sees_which_key(keys: Keys) -> None:
    """The registration signs; all others only verify; and what is printed has stars in place of the private key."""
    assert {job.name for job in all_jobs().values() if "signing" in job.services} == {"register"}
    _, _, ours = services("flights", ["signing"])
    _, _, others = services("flights")
    private = keys.private.read_text()
    assert (ours[PRIVATE_VARIABLE], ours[PUBLIC_VARIABLE]) == (private, str(keys.public))
    assert others == {PUBLIC_VARIABLE: str(keys.public)}
    assert private not in Mask(ours)(f"key {private}")


def test_the_keys_belong_together(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test of the connection says by which key is signed, and refuses a pair that is none."""
    works, message = SigningHook().test_connection()
    assert works
    assert SigningHook().get_conn().fingerprint[:12] in message
    other = make_keys(keys.public.parent, name="other")
    define(monkeypatch, keys.private.read_text(), str(other.public))
    assert SigningHook().test_connection()[0] is False
    define(monkeypatch, "no key", None)
    works, message = SigningHook().test_connection()
    assert not works
    assert PRIVATE_VARIABLE in message


def test_a_pod_gets_the_private_key_by_reference_only(keys: Keys) -> None:
    """The public one is no secret."""
    pod = PodSettings(image="trainer")
    refuse_unreferenced(pod, services("flights")[2])
    with pytest.raises(ConfigurationError, match=PRIVATE_VARIABLE):
        refuse_unreferenced(pod, services("flights", ["signing"])[2])
