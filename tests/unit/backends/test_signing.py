"""Signatures in the format of OpenSSF Model Signing: theirs verifies ours, ours verifies theirs, and nothing else."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from model_signing import hashing, verifying
from model_signing import signing as sign_theirs

from airflow_mlops_provider.backends import signing
from airflow_mlops_provider.exceptions import ConfigurationError, SignatureError
from airflow_mlops_provider.storage.artifacts import SIGNATURE, FolderStore, content_hash


def pem_of(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture(params=[ec.SECP256R1, ec.SECP384R1, ec.SECP521R1], ids=lambda curve: curve.name)
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """The files of a private key and its public one."""
    key = ec.generate_private_key(request.param())
    private, public = tmp_path / "key.pem", tmp_path / "key.pub"
    private.write_text(pem_of(key))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model's folder, with a folder in it."""
    folder = tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    (folder / "model.txt").write_text("tree")
    (folder / "deep" / "part.bin").write_bytes(bytes(range(200)))
    return folder


def signed(model: Path, private: Path) -> Path:
    signer = signing.signer({signing.PRIVATE_VARIABLE: str(private)})
    assert signer
    (model / SIGNATURE).write_bytes(signer.model(model, "shop"))
    return model


def verify(model: Path, public: Path) -> None:
    key = signing.required_key({signing.PUBLIC_VARIABLE: public.read_text()})
    assert key
    signing.verify(model, "version 3 of shop", key)


def test_theirs_verifies_ours(model: Path, keys: tuple[Path, Path]) -> None:
    """Their library accepts a folder that we signed, a copy of it, and refuses it when a file was changed."""
    private, public = keys
    copy = Path(shutil.copytree(signed(model, private), model.parent / "copy"))
    theirs = verifying.Config().use_elliptic_key_verifier(public_key=public)
    theirs.verify(copy, copy / SIGNATURE)
    (copy / "model.txt").write_text("other")
    with pytest.raises(ValueError, match="Hash mismatch for "):
        theirs.verify(copy, copy / SIGNATURE)


def test_ours_verifies_theirs(model: Path, keys: tuple[Path, Path]) -> None:
    """A folder that their library signed is accepted."""
    private, public = keys
    hashed = hashing.Config().set_ignored_paths(paths=[SIGNATURE])
    theirs = sign_theirs.Config().use_elliptic_key_signer(private_key=private).set_hashing_config(hashed)
    theirs.sign(model, model / SIGNATURE)
    verify(model, public)


@pytest.mark.parametrize("keys", [ec.SECP256R1], indirect=True, ids=["P-256"])
class TestRefused:
    """What is not exactly what the key signed."""

    def test_unsigned(self, model: Path, keys: tuple[Path, Path]) -> None:
        """The error says what to do."""
        with pytest.raises(SignatureError, match=r"version 3 of shop is unsigned.*clear the task that registered it"):
            verify(model, keys[1])

    def test_another_key(self, model: Path, keys: tuple[Path, Path]) -> None:
        """Somebody else's signature is none."""
        other = model.parent / "other.pem"
        other.write_text(pem_of(ec.generate_private_key(ec.SECP256R1())))
        with pytest.raises(SignatureError, match="wrongly signed"):
            verify(signed(model, other), keys[1])

    @pytest.mark.parametrize("change", ["changed", "added", "removed", "renamed"])
    def test_other_files(self, model: Path, keys: tuple[Path, Path], change: str) -> None:
        """A file that is not as it was, or not there, or one too many; also where it is called like a signature."""
        file = signed(model, keys[0]) / "deep" / "part.bin"
        if change == "changed":
            file.write_bytes(b"x")
        elif change == "added":
            (model / "deep" / SIGNATURE).write_text("x")
        elif change == "removed":
            file.unlink()
        else:
            file.rename(model / "part.bin")
        with pytest.raises(SignatureError, match="is not the file that was signed"):
            verify(model, keys[1])

    def test_a_list_that_was_edited(self, model: Path, keys: tuple[Path, Path]) -> None:
        """The payload is what the key signed, and nothing else."""
        bundle = json.loads((signed(model, keys[0]) / SIGNATURE).read_bytes())
        statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
        statement["predicate"]["resources"].pop()
        bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
        (model / SIGNATURE).write_text(json.dumps(bundle))
        with pytest.raises(SignatureError, match="wrongly signed"):
            verify(model, keys[1])

    def test_a_signature_of_something_else(self, model: Path, keys: tuple[Path, Path]) -> None:
        """What the key signed of another kind, such as a provenance, is no signature of a model."""
        signer = signing.signer({signing.PRIVATE_VARIABLE: str(keys[0])})
        assert signer
        envelope = signer.statement({"predicateType": "https://slsa.dev/provenance/v1", "predicate": {}})
        (model / SIGNATURE).write_text(json.dumps({"dsseEnvelope": envelope}))
        with pytest.raises(SignatureError, match=r"no signature of a model: it signs a https://slsa\.dev"):
            verify(model, keys[1])

    @pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"dsseEnvelope": {"payload": "?", "signatures": []}}'])
    def test_no_signature_at_all(self, model: Path, keys: tuple[Path, Path], data: bytes) -> None:
        """A broken file is named."""
        (model / SIGNATURE).write_bytes(data)
        with pytest.raises(SignatureError, match=f"{SIGNATURE} is no signature of a model"):
            verify(model, keys[1])


@pytest.mark.parametrize("keys", [ec.SECP256R1], indirect=True, ids=["P-256"])
def test_the_hash_stays_and_the_signature_travels(model: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    """A signed folder has the hash that it had, and what a store gives back of it can be verified."""
    before = content_hash(model)
    store = FolderStore(tmp_path / "root")
    store.upload(model, "shop/model")
    store.write(f"shop/model/{SIGNATURE}", (signed(model, keys[0]) / SIGNATURE).read_bytes())
    assert content_hash(model) == before
    down = tmp_path / "down"
    for key in store.list("shop/model"):
        target = down / Path(key).relative_to("shop/model")
        target.parent.mkdir(parents=True, exist_ok=True)
        store.copy(key, target)
    assert content_hash(down) == before
    verify(down, keys[1])


def test_only_a_configured_key_is_required(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one, anything is loaded; with one, only what it signed."""
    signing.verify_if_required(model, "any")
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    monkeypatch.setenv(signing.PUBLIC_VARIABLE, public.decode())
    with pytest.raises(SignatureError):
        signing.verify_if_required(model, "any")


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ("/no/such/file", "neither a key in PEM nor a file"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "holds no key in PEM"),
        (pem_of(rsa.generate_private_key(65537, 2048)), "holds another key than one of secp256r1"),
        (pem_of(ec.generate_private_key(ec.SECP256K1())), "holds another key than one of secp256r1"),
    ],
    ids=["file", "PEM", "RSA", "curve"],
)
def test_keys_that_cannot_sign(value: str, match: str) -> None:
    """The error names the variable, and never shows its value."""
    with pytest.raises(ConfigurationError, match=match) as error:
        signing.signer({signing.PRIVATE_VARIABLE: value})
    assert signing.PRIVATE_VARIABLE in str(error.value)
    assert "BEGIN" not in str(error.value)
