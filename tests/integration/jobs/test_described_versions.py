"""A version as real jobs leave it is signed and described, of its records alone."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

from airflow_mlops_provider.backends import signing
from airflow_mlops_provider.backends.model_server.releases import Release, request
from airflow_mlops_provider.cli.dossier import run as write_dossier
from airflow_mlops_provider.exceptions import ConfigurationError, IntegrityError, SignatureError, UnknownNameError
from airflow_mlops_provider.lifecycle.description.bom import bill_of_materials
from airflow_mlops_provider.lifecycle.description.card import model_card
from airflow_mlops_provider.lifecycle.description.facts import VersionFacts
from airflow_mlops_provider.lifecycle.description.provenance import provenance
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.release.build import Build
from airflow_mlops_provider.operators.deployment import keep
from airflow_mlops_provider.render.documents import markdown
from airflow_mlops_provider.runtime.installed import installed
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.scoring.predictor import Predictor
from airflow_mlops_provider.serving.answers import Answers
from airflow_mlops_provider.serving.metrics import Metrics
from airflow_mlops_provider.serving.prediction_log import PredictionLog
from airflow_mlops_provider.serving.release_follower import ReleaseFollower
from airflow_mlops_provider.storage.artifacts import SIGNATURE, FolderStore, content_hash
from airflow_mlops_provider.storage.description import card_of, papers_key, version_facts
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.records import Records
from tests.factories.keys import Keys, make_keys
from tests.factories.shop import DAYS, ShopWorld

PAPERS = {"model_card.json", "model_card.html", "model_card.md", "bom.cdx.json", "provenance.json"}


class Shop(NamedTuple):
    world: ShopWorld
    version: ModelVersion
    keys: Keys

    @property
    def records(self) -> Records:
        return Records(FolderStore(self.world.root))

    @property
    def facts(self) -> VersionFacts:
        return version_facts(self.records, self.world.name, 1)

    @property
    def folder(self) -> Path:
        return Path(self.version.uri.removeprefix("file://"))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A product whose first version was signed, registered, and went through the gates."""
    folder = tmp_path_factory.mktemp("shop")
    world, keys = ShopWorld(folder), make_keys(folder)
    world.write("expectations.py", "def expectations(name):\n    return []\n")
    world.first = world.commit("Expect nothing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(signing.PRIVATE_VARIABLE, str(keys.private))
        data = world.job("training_set", DAYS[-1], {"evaluate": 1}, features=tuple(map(world.engineer, DAYS)))
        validation = world.job("validate", DAYS[-1], {"what": "training"}, dataset=data)
        model = world.job("train", DAYS[-1], training_set=data)
        evaluation = world.job("evaluate", DAYS[-1], model=model, training_set=data)
        version = world.job("register", params={"cause": "first"}, model=model, evaluation=evaluation)
    world.job("promote", version=version, validation=validation, evaluation=evaluation)
    yield Shop(world, version, keys)
    world.close()


def test_the_registration_left_its_papers(shop: Shop) -> None:
    """They lie in its result, and the card can be read by whoever holds the version against it."""
    made = shop.records.version(shop.world.name, 1).registered
    assert made
    assert {output.name for output in made.outputs} == PAPERS | {"provenance.dsse.json"}
    assert all((shop.world.root / papers_key(made) / name).is_file() for name in PAPERS)
    card = card_of(shop.records, shop.world.name, 1)
    assert card
    assert card.unfilled == ()
    assert markdown(card).encode() == (shop.world.root / papers_key(made) / "model_card.md").read_bytes()


def test_another_card_is_not_taken_for_the_registered_one(shop: Shop) -> None:
    """A card that was changed, however well it reads, is refused by name: gates look at it."""
    made = shop.records.version(shop.world.name, 1).registered
    assert made
    file = shop.world.root / papers_key(made) / "model_card.json"
    right = file.read_bytes()
    file.write_bytes(right + b"\n")
    with pytest.raises(IntegrityError, match=r"model_card\.json is not the model card that version 1"):
        card_of(shop.records, shop.world.name, 1)
    file.write_bytes(right)
    assert card_of(shop.records, shop.world.name, 1)


def test_the_card_says_what_the_records_say(shop: Shop) -> None:
    """Purpose, owners, data, training, evaluation, caveats, decisions, key: of records, the same each time."""
    card = model_card(shop.facts)
    assert card == model_card(shop.facts)
    parts = {section.title: section for section in card.sections}
    assert parts["Intended use"].facts["question"] == "Will a shop sell much tomorrow?"
    assert parts["Owners"].facts["ml engineer"] == "somebody@shop.example"
    made = shop.facts.trained
    assert parts["Training"].facts["commit"] == shop.world.first
    assert json.loads(parts["Training"].facts["settings"])["num_leaves"] == 4
    training_set = made.spec.given("training_set")[0]
    assert training_set.hash in parts["Data"].facts["training set"]
    assert ("raw data", 2, str(DAYS[0]), str(DAYS[1])) in parts["Data"].tables[0].rows
    assert ("takings", "mean_amount", "float64") in parts["Data"].tables[1].rows
    judged = shop.facts.evaluation
    assert judged
    best = judged.challenger
    assert parts["Evaluation"].tables[0].rows[0] == ("challenger", best.value, best.low, best.high)
    assert parts["Calibration and errors"].figures[0].title == "Calibration"
    assert [row[1] for row in parts["Decisions"].tables[0].rows] == ["registered", "staging", "production-ready"]
    key = signing.signer({signing.PRIVATE_VARIABLE: str(shop.keys.private)})
    assert key
    assert parts["Signature"].facts["SHA-256 of the key that it names"] == key.fingerprint


def test_the_bill_of_materials_is_valid(shop: Shop) -> None:
    """By the library's own schema, strictly; with the model's card, its files, data and packages."""
    bom = bill_of_materials(shop.facts)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bom)) is None
    hashes = {part["name"]: part["hashes"][0]["content"] for part in bom["components"] if part["type"] == "file"}
    assert hashes == {output.name: output.sha256 for output in shop.facts.trained.outputs}
    kinds = [part["name"].partition(" ")[0] for part in bom["components"] if part["type"] == "data"]
    assert sorted(kinds) == ["clean", "clean", "features", "features", "raw", "raw", "training"]
    purls = {part["purl"].partition("@")[0] for part in bom["components"] if part["type"] == "library"}
    assert {"pkg:pypi/lightgbm", "pkg:pypi/apache-airflow"} <= purls
    assert len(purls) == len(shop.facts.packages)
    performance = bom["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"][0]
    assert shop.facts.evaluation
    assert float(performance["value"]) == shop.facts.evaluation.challenger.value


def test_the_provenance_names_all_that_went_in(shop: Shop) -> None:
    """An in-toto statement of the model's files: data, commit, code and environment by digest."""
    statement = provenance(shop.facts)
    assert {each["name"] for each in statement["subject"]} == {output.name for output in shop.facts.trained.outputs}
    dependencies = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    digests = {value for each in dependencies for value in each.get("digest", {}).values()}
    assert {item.hash for item in shop.facts.made_of()} <= digests
    assert {shop.world.first, *shop.facts.trained.code_hashes.values()} <= digests
    assert statement["predicate"]["runDetails"]["metadata"]["invocationId"] == "tests/one/train"


def test_a_stranger_verifies_the_provenance(shop: Shop) -> None:
    """Its envelope, with the public key, by another's library."""
    made = shop.records.version(shop.world.name, 1).registered
    assert made
    told = json.loads((shop.world.root / papers_key(made) / "provenance.dsse.json").read_bytes())
    envelope = Envelope.from_dict(told)
    public = load_pem_public_key(shop.keys.public.read_bytes())
    envelope.verify([SSlibKey.from_crypto(public, shop.facts.signer)], 1)
    assert json.loads(envelope.payload) == provenance(shop.facts)


def test_a_stranger_verifies_the_signature(shop: Shop, tmp_path: Path) -> None:
    """The third party's own command does, of a copy, with nothing but the public key; the hash is what it was."""
    assert content_hash(shop.folder) == shop.version.hash
    command = ["model_signing", "verify", "key", "model", "--signature", f"model/{SIGNATURE}"]
    shutil.copytree(shop.folder, tmp_path / "model")
    done = subprocess.run(
        [sys.executable, "-m", *command, "--public_key", str(shop.keys.public)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_only_what_the_key_signed_is_loaded(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a job and by the server alike, which names what is wrong and goes on with what it has."""
    scoring = shop.world.product.scoring
    monkeypatch.setenv(signing.PUBLIC_VARIABLE, str(shop.keys.public))
    Predictor.load(scoring, shop.folder, shop.version).smoke()
    store = FolderStore(shop.world.root)
    request(store, shop.world.name, Release.of(shop.version))
    metrics = Metrics(shop.world.name, (0.5,))
    answers = Answers(shop.world.name, PredictionLog(tmp_path / "log"), metrics)
    server = ReleaseFollower(shop.world.name, scoring, store.uri, metrics, answers, retry=0.0)
    server.follow()
    assert server.live
    monkeypatch.setenv(signing.PUBLIC_VARIABLE, str(make_keys(tmp_path).public))
    with pytest.raises(SignatureError, match=r"version 1 of .* is wrongly signed"):
        Predictor.load(scoring, shop.folder, shop.version)
    request(store, shop.world.name, Release.of(shop.version))
    another = ReleaseFollower(shop.world.name, scoring, store.uri, metrics, answers, retry=0.0)
    another.follow()
    assert another.live is None
    assert another.problem
    assert "is wrongly signed" in another.problem
    challenger = {"model": shop.facts.evaluated.spec.inputs["model"], "champion": shop.version}  # type: ignore[union-attr]
    given = {**challenger, "training_set": shop.facts.trained.spec.inputs["training_set"]}
    refused = run(shop.world.spec("evaluate", interval=DAYS[-1], inputs=given))
    assert refused.failure
    assert refused.failure.error == "SignatureError"


def dossier(shop: Shop, folder: Path, documents: Path | None = None, root: Path | None = None) -> Path:
    """Write a dossier, as the command does."""
    name = f"{shop.world.name}@1"
    write_dossier(Namespace(version=name, to=folder, documents=documents, root=str(root or shop.world.root)))
    return folder


def test_the_dossier_is_whole(shop: Shop, tmp_path: Path) -> None:
    """Card, bill, provenance, signature, ledger, reports and the provider's own documents, each by its hash."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "5-risks.md").write_text("# Risks")
    (mine / "5.pdf").write_bytes(b"%PDF")
    (mine / "2e.md").write_text("# Oversight")
    folder = dossier(shop, tmp_path / "dossier", mine)
    sums = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    there = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()} - {"SHA256SUMS"}
    assert sums.keys() == there
    assert all(hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha256 for name, sha256 in sums.items())
    assert there >= {
        *("index.html", "index.md", "model_card.html", "model_card.md", "bom.cdx.json", "provenance.json", "model.sig"),
        *("provenance.dsse.json", "ledger.json", "lineage.svg", "product.json", "evaluation/evaluation.json"),
        *("manifests/train.json", "manifests/register.json", "documents/5.md", "documents/5.pdf", "documents/2e.md"),
    }
    page = (folder / "index.html").read_text()
    assert all(
        f"href='{name}'" in page for name in there - {"index.html", "index.md", "model_card.md", "model_card.json"}
    )
    assert "a copy of the declaration; recorded by a document 8.md" in page
    assert "the risk management system; recorded" not in page
    again = dossier(shop, tmp_path / "again", mine)
    assert {file.relative_to(again): file.read_bytes() for file in again.rglob("*") if file.is_file()} == {
        file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()
    }


def test_the_image_of_the_servers_is_in_the_dossier(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the CI has built, with its bill of materials, as the ledger names it; another file in its place stops it."""
    monkeypatch.setenv("AIRFLOW__MLOPS__ARTIFACT_ROOT", str(shop.world.root))
    bill = json.dumps(installed())
    built = keep(Build(image=f"registry.example/shop@sha256:{'a' * 64}", run="https://ci.example/7"), bill.encode())
    evidence = {"image": {"name": "any", "declared": "any", "built": built}}
    Ledger(shop.records.store, shop.world.name).note(shop.version, reason="it runs", by="tests", evidence=evidence)
    folder = dossier(shop, tmp_path / "dossier", None)
    assert (folder / "image" / "sbom.cdx.json").read_text() == bill
    assert "href='image/sbom.cdx.json'" in (folder / "index.html").read_text()
    Path(built["uri"].removeprefix("file://"), "sbom.cdx.json").write_text("{}")
    with pytest.raises(IntegrityError, match="is not what was recorded"):
        dossier(shop, tmp_path / "another", None)
    shutil.rmtree(built["uri"].removeprefix("file://"))


def test_what_no_dossier_is_made_of(shop: Shop, tmp_path: Path) -> None:
    """A folder that is there, a document of no point, a report that was changed: refused by name, nothing is left."""
    (tmp_path / "there").mkdir()
    with pytest.raises(ConfigurationError, match="is there already"):
        dossier(shop, tmp_path / "there")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "3b.md").write_text("")
    with pytest.raises(UnknownNameError, match=r"unknown point of the annex '3b\.md'; known: 1a, 1b"):
        dossier(shop, tmp_path / "dossier", tmp_path / "mine")
    copy = Path(shutil.copytree(shop.world.root, tmp_path / "root"))
    report = next(copy.glob(f"{shop.world.name}/evaluate/*/*/evaluation.json"))
    report.write_text(report.read_text() + " ")
    with pytest.raises(IntegrityError, match="is not what was recorded"):
        dossier(shop, tmp_path / "dossier", root=copy)
    report.unlink()
    shutil.rmtree(report.parent)
    assert not (dossier(shop, tmp_path / "dossier", root=copy) / "evaluation").exists()
