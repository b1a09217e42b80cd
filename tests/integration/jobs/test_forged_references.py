"""References are not believed: a job holds what it is given against records and bytes, a gate opens the records."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pandas as pd
import pytest

from airflow_mlops_provider.backends.tracking.mlflow.mirror import HEAD, Mirror
from airflow_mlops_provider.jobs.registry.standing import CheckedLedger
from airflow_mlops_provider.lifecycle.records.manifest import Failure, Manifest
from airflow_mlops_provider.lifecycle.references import Dataset, Model, ModelVersion, Reference, Report
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.runtime.context import JobContext
from airflow_mlops_provider.runtime.definition import find_job
from airflow_mlops_provider.runtime.inputs import Inputs
from airflow_mlops_provider.runtime.runner import look, run
from airflow_mlops_provider.storage.artifacts import BucketStore, FolderStore, content_hash, open_store
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.records import Records
from tests.factories.bucket import s3_server
from tests.factories.shop import DAYS, ShopWorld
from tests.factories.tiny import DELIVERY, TinyWorld

NOBODYS = "0" * 64
SILENT = "def expectations(name):\n    return []\n"


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[TinyWorld]:
    """A product whose jobs are quick."""
    world = TinyWorld(tmp_path)
    yield world
    world.close()


def clean(world: TinyWorld, raw: Reference, **fields: Any) -> Manifest:
    return run(world.spec("clean", inputs={"raw": raw}, **fields))


def refusal(manifest: Manifest) -> Failure:
    """Return why a job was refused; no retry helps, and nothing was handed on."""
    assert manifest.state == "failed"
    assert manifest.result is None
    assert manifest.failure is not None
    assert not manifest.failure.retryable
    return manifest.failure


def folder_of(reference: Reference) -> Path:
    return Path(reference.uri.removeprefix("file://"))


def another_day(world: TinyWorld) -> Dataset:
    """Deliver the day again with other rows, and return their snapshot."""
    world.deliver(DELIVERY.replace("2.5", "9.5"))
    return world.extracted()


# --- what every job is given ------------------------------------------------------------------------------------------


def _elsewhere(raw: Dataset, tmp_path: Path) -> str:
    shutil.copytree(folder_of(raw), tmp_path / "elsewhere")
    return (tmp_path / "elsewhere").as_uri()


def _linked(raw: Dataset, tmp_path: Path) -> str:
    """A folder below the root that is a link to one outside it."""
    _elsewhere(raw, tmp_path)
    link = folder_of(raw).parent / "link"
    link.symlink_to(tmp_path / "elsewhere")
    return link.as_uri()


def _linked_file(raw: Dataset, tmp_path: Path) -> str:
    """A folder below the root whose file is a link to one outside it."""
    outside = Path(_elsewhere(raw, tmp_path).removeprefix("file://"))
    folder = folder_of(raw).parent / "own"
    folder.mkdir()
    (folder / "sales.parquet").symlink_to(outside / "sales.parquet")
    return folder.as_uri()


OUTSIDE: dict[str, Callable[[Dataset, Path], str]] = {
    "another folder": _elsewhere,
    "another scheme": lambda raw, _: raw.uri.replace("file://", "http://"),
    "a bucket": lambda raw, _: raw.uri.replace("file://", "s3://bucket"),
    "up and out": lambda raw, _: f"{raw.uri}/../../../../../elsewhere",
    "up, and back again": lambda raw, _: raw.uri.replace("/extract/", "/clean/../extract/"),
    "up and out, in disguise": lambda raw, _: f"{raw.uri}/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/elsewhere",
    "the root's neighbour": lambda raw, _: raw.uri.replace("/artifacts/", "/artifacts-of-mine/"),
    "the root itself": lambda raw, _: raw.uri.partition("/artifacts/")[0] + "/artifacts/",
    "a link": _linked,
    "a linked file": _linked_file,
    "a path": lambda raw, _: str(folder_of(raw)),
}


@pytest.mark.parametrize("how", OUTSIDE)
def test_outside_the_artifact_root(tiny: TinyWorld, tmp_path: Path, how: str) -> None:
    """The very bytes, under the hash that is known, count for nothing outside the root; also where the work is done."""
    raw = tiny.extracted()
    done = clean(tiny, raw)
    forged = raw.model_copy(update={"uri": OUTSIDE[how](raw, tmp_path)})
    failure = refusal(clean(tiny, forged))
    assert failure.error == "ConfigurationError"
    assert f"{forged.uri} lies outside the artifact root" in failure.message
    assert clean(tiny, raw) == done  # and what is refused hides no finished work


def test_another_hash_is_refused_by_name(tiny: TinyWorld) -> None:
    """A reference to a result of ours with a hash that is not its own is refused; the message has all three."""
    raw = tiny.extracted()
    failure = refusal(clean(tiny, raw.model_copy(update={"hash": NOBODYS})))
    assert failure.error == "IntegrityError"
    assert [part for part in (raw.uri, NOBODYS, raw.hash) if part not in failure.message] == []


def test_finished_work_is_not_found_under_a_claimed_hash(tiny: TinyWorld) -> None:
    """The hash of old data claimed for new data, whose work is done: refused, not answered with the old work."""
    old = tiny.extracted()
    done = clean(tiny, old)
    new = another_day(tiny)
    assert new.hash != old.hash
    forged = new.model_copy(update={"hash": old.hash})
    assert refusal(clean(tiny, forged)).error == "IntegrityError"
    with pytest.raises(Exception, match="is not what the reference claims"):
        look(tiny.spec("clean", inputs={"raw": forged}))
    assert look(tiny.spec("clean", inputs={"raw": old}))[0] == done


def test_finished_work_is_not_found_under_an_invented_uri(tiny: TinyWorld) -> None:
    """A known hash at a place where nothing lies finds nothing."""
    raw = tiny.extracted()
    clean(tiny, raw)
    for uri in (f"{raw.uri}x", f"{raw.uri[:-16]}{'0' * 16}", raw.uri.replace("/extract/", "/clean/")):
        failure = refusal(clean(tiny, raw.model_copy(update={"uri": uri})))
        assert (failure.error, "is gone" in failure.message) == ("IntegrityError", True)


def test_a_result_that_was_changed_on_disk(tiny: TinyWorld) -> None:
    """Bytes of a result of ours that are not those recorded are refused, also where finished work would be found."""
    raw = tiny.extracted()
    done = clean(tiny, raw)
    file = folder_of(raw) / "sales.parquet"
    whole = file.read_bytes()
    for torn in (whole + b"x", whole[:-1], b""):
        file.write_bytes(torn)
        failure = refusal(clean(tiny, raw))
        assert failure.error == "IntegrityError"
        assert raw.hash in failure.message
        # Claiming the hash that the bytes now have does not help: the record says what they were.
        claimed = raw.model_copy(update={"hash": content_hash(folder_of(raw))})
        assert refusal(clean(tiny, claimed)).error == "IntegrityError"
    file.write_bytes(whole)
    assert clean(tiny, raw) == done


def test_a_further_file_in_a_result(tiny: TinyWorld) -> None:
    """What was put beside a result's files is noticed, too."""
    raw = tiny.extracted()
    (folder_of(raw) / "more.parquet").write_bytes(b"")
    assert refusal(clean(tiny, raw)).error == "IntegrityError"


def test_data_that_is_gone_does_not_undo_finished_work(tiny: TinyWorld) -> None:
    """Old raw data may be removed: what was made of it is found by the record; made anew it can't be."""
    raw = tiny.extracted()
    done = clean(tiny, raw)
    shutil.rmtree(folder_of(raw))
    assert clean(tiny, raw) == done
    assert "is gone" in refusal(clean(tiny, raw, force=True)).message


def test_facts_and_interval_are_the_records(tiny: TinyWorld) -> None:
    """Facts that travel are claims: the record's count. Another interval than the record's is refused."""
    raw = tiny.extracted()
    manifest = clean(tiny, raw.model_copy(update={"facts": {"rows": {"sales": 10**6}, "files": {"evil": "x"}}}))
    assert manifest.spec.inputs["raw"] == raw
    for interval in (DAYS[1], None):
        failure = refusal(clean(tiny, raw.model_copy(update={"interval": interval})))
        assert failure.error == "IntegrityError"
        assert f"not of {interval}" in failure.message


@pytest.mark.parametrize("kind", ["model", "report"])
def test_the_wrong_kind_is_refused(tiny: TinyWorld, kind: str) -> None:
    """A role says what it takes and what it was given."""
    raw = tiny.extracted()
    given = Model(uri=raw.uri, hash=raw.hash) if kind == "model" else Report(uri=raw.uri, hash=raw.hash, passed=True)
    failure = refusal(clean(tiny, given))
    assert failure.error == "ConfigurationError"
    assert failure.message.startswith(f"job 'clean' takes a dataset as 'raw', not the {kind} {raw.uri}")


def test_a_dataset_reference_to_something_else(tiny: TinyWorld) -> None:
    """What a record calls a report can't be handed on as a table."""
    raw = tiny.extracted()
    file = next((tiny.root / tiny.name / "extract").glob("*/manifest.json"))
    told = json.loads(file.read_text())
    told["result"] = {**told["result"], "kind": "report", "passed": True}
    del told["result"]["interval"]
    file.write_text(json.dumps(told))
    assert "is a report, not a dataset" in refusal(clean(tiny, raw)).message


# --- a custom task's own table ----------------------------------------------------------------------------------------


def own_table(world: TinyWorld, raw: Dataset, name: str = "my tables") -> Dataset:
    """Change a table as a custom task would, and return the old reference with the new place alone."""
    folder = world.root / "mine" / name
    folder.mkdir(parents=True)
    frame = pd.read_parquet(folder_of(raw) / "sales.parquet")
    frame.assign(amount=frame["amount"] * 2).to_parquet(folder / "sales.parquet", index=False)
    return raw.model_copy(update={"uri": folder.as_uri()})


def test_a_table_that_a_custom_task_changed_is_used(tiny: TinyWorld, caplog: pytest.LogCaptureFixture) -> None:
    """A new place under the old hash: what lies there counts, the log says so, and the old work is not its answer."""
    raw = tiny.extracted()
    old = clean(tiny, raw)
    caplog.set_level("INFO")
    mine = own_table(tiny, raw)
    spec = tiny.spec("clean", inputs={"raw": mine}, upstream={"raw": "mine/run/double"})
    assert look(spec)[0] is None
    manifest = run(spec)
    assert manifest.result is not None
    assert old.result is not None
    assert manifest.address != old.address
    assert list(pd.read_parquet(folder_of(manifest.result) / "sales.parquet")["amount"]) == [3.0, 5.0]
    given = manifest.spec.inputs["raw"]
    assert isinstance(given, Dataset)
    assert given.hash == content_hash(folder_of(mine).parent / "my tables")
    assert manifest.external == {mine.uri: "mine/run/double"}
    said = [line for line in caplog.messages if mine.uri in line]
    assert any("handed on by mine/run/double" in line for line in said)
    assert any(f"not {raw.hash} as claimed" in line for line in said)
    assert look(spec)[0] == manifest
    assert clean(tiny, raw) == old
    (made,) = Records(FolderStore(tiny.root)).ancestors(manifest)
    assert made.manifest is None
    assert made.missing == "made by no job of ours; handed on by mine/run/double"


def test_a_custom_table_that_tells_the_truth(tiny: TinyWorld, caplog: pytest.LogCaptureFixture) -> None:
    """With its own hash it is used without a warning; changed in place it is another input, and done anew."""
    raw = tiny.extracted()
    mine = own_table(tiny, raw)
    mine = mine.model_copy(update={"hash": content_hash(folder_of(mine).parent / "my tables")})
    first = clean(tiny, mine)
    assert first.state == "success"
    assert "as claimed" not in caplog.text
    frame = pd.read_parquet(folder_of(raw) / "sales.parquet")
    frame.assign(amount=0.0).to_parquet(folder_of(mine).parent / "my tables" / "sales.parquet", index=False)
    second = clean(tiny, mine)
    assert second.state == "success"
    assert second.address != first.address


# --- in a bucket ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An artifact root in a bucket."""
    with s3_server() as env, pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="lake")
        yield "s3://lake/mlops"


def test_in_a_bucket_the_same_holds(tiny: TinyWorld, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records are held against claims without bringing a byte; bytes are checked where they are opened."""
    raw = run(tiny.spec("extract", root=bucket)).result
    assert isinstance(raw, Dataset)
    done = clean(tiny, raw, root=bucket)
    assert done.state == "success", done.failure
    with monkeypatch.context() as patch:
        patch.setattr(BucketStore, "download", None)  # nothing is downloaded to find finished work
        assert clean(tiny, raw, root=bucket) == done
        for changed, said in (
            ({"hash": NOBODYS}, "is not what the reference claims"),
            ({"uri": raw.uri.replace("lake/", "lake-of-mine/")}, "lies outside the artifact root"),
            ({"uri": raw.uri.replace("/extract/", "/clean/../extract/")}, "lies outside the artifact root"),
            ({"interval": DAYS[1]}, "as claimed"),
        ):
            assert said in refusal(clean(tiny, raw.model_copy(update=changed), root=bucket)).message
    assert "is gone" in refusal(clean(tiny, raw.model_copy(update={"uri": f"{raw.uri}x"}), root=bucket)).message
    store = open_store(bucket)
    key = f"{raw.uri.removeprefix(f'{store.uri}/')}/sales.parquet"
    whole = store.read(key)
    store.write("mine/sales.parquet", whole)
    mine = raw.model_copy(update={"uri": f"{bucket}/mine", "hash": NOBODYS})
    assert clean(tiny, mine, root=bucket) == done  # the very bytes, whatever they are called
    ahead = look(tiny.spec("clean", root=bucket, inputs={"raw": mine}), beside=done)
    assert ahead == (None, "")  # a pod's job looks itself
    store.write(key, whole + b"x")
    assert "is not what was recorded" in refusal(clean(tiny, raw, root=bucket, force=True)).message


# --- the way to production --------------------------------------------------------------------------------------------


class Shop(ShopWorld):
    """A product with two trained versions of its model, validated and evaluated, and none of them promoted."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.write("expectations.py", SILENT)
        features = tuple(map(self.engineer, DAYS))
        self.data: Dataset = self.job("training_set", DAYS[-1], {"evaluate": 1}, features=features)
        self.turned: Dataset = self.job("training_set", DAYS[-1], {"evaluate": 1}, features=features[::-1])
        self.valid = {one.hash: self.validated(one) for one in (self.data, self.turned)}
        self.models = [
            self.job("train", DAYS[-1], p, training_set=self.data) for p in ({}, {"settings": {"num_leaves": 2}})
        ]
        self.reports = [self.job("evaluate", DAYS[-1], model=one, training_set=self.data) for one in self.models]

    def validated(self, data: Dataset, what: str = "training") -> Report:
        report: Report = self.job("validate", DAYS[-1], {"what": what}, dataset=data)
        return report

    def registered(self, number: int = 0) -> ModelVersion:
        version: ModelVersion = self.job(
            "register", params={"cause": "test"}, model=self.models[number], evaluation=self.reports[number]
        )
        return version

    def asked(self, job: str, **inputs: Any) -> Manifest:
        return run(self.spec(job, interval=None, inputs=inputs))

    def moves(self) -> list[str]:
        return [entry.status.value for entry in Ledger(FolderStore(self.root), self.name).entries()]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    shop = Shop(tmp_path_factory.mktemp("shop"))
    yield shop
    shop.close()


@pytest.fixture
def shop(made: Shop, tmp_path: Path) -> Iterator[Shop]:
    """The shop with no version registered; whatever a test spoils of its product's folder is put back."""
    results, kept = made.root / made.name, tmp_path / "kept"
    shutil.copytree(results, kept)
    yield made
    shutil.rmtree(results)
    shutil.copytree(kept, results)
    shutil.rmtree(made.root / "mine", ignore_errors=True)
    mirror = Mirror(f"sqlite:///{made.root}/mlflow.db", made.name)
    if mirror.read().head:  # of a ledger that is gone with the rest
        mirror.client.delete_registered_model_tag(made.name, HEAD)


def invented(report: Report, **figures: Any) -> Report:
    """Return a report with other figures of the challenger."""
    told = report.facts["evaluation"]
    challenger = {**told["challenger"], **figures}
    return report.model_copy(
        update={"facts": {**report.facts, "evaluation": {**told, "challenger": challenger}}, "passed": True}
    )


def at(claimed: Any, other: Reference) -> Any:
    """Return a reference that claims another one's place and content."""
    return claimed.model_copy(update={"uri": other.uri, "hash": other.hash})


def _changed_file(shop: Shop) -> dict[str, Any]:
    file = folder_of(shop.reports[0]) / "evaluation.json"
    file.write_text(file.read_text().replace('"value": 0.', '"value": 0.99'))
    return {"evaluation": shop.reports[0]}


def _changed_record(shop: Shop) -> dict[str, Any]:
    file = folder_of(shop.reports[0]).parent / "manifest.json"
    told = json.loads(file.read_text())
    told["result"]["facts"]["evaluation"]["challenger"]["value"] = 0.999
    file.write_text(json.dumps(told))
    return {"evaluation": shop.reports[0]}


def _own_report(shop: Shop) -> dict[str, Any]:
    """A report of one's own making below the root, whole and under its right hash."""
    folder = shop.root / "mine" / "report"
    shutil.copytree(folder_of(shop.reports[0]), folder)
    file = folder / "evaluation.json"
    file.write_text(file.read_text().replace('"value": 0.', '"value": 0.99'))
    found = shop.reports[0].model_copy(update={"uri": folder.as_uri(), "hash": content_hash(folder)})
    return {"evaluation": invented(found, value=0.999)}


FORGED: dict[str, tuple[Callable[[Shop], dict[str, Any]], str]] = {
    "an invented report": (
        lambda shop: {"evaluation": invented(at(shop.reports[0], shop.models[0]))},
        "is a model, not a report",
    ),
    "a report of one's own": (_own_report, "no record tells of the report"),
    "another version's evaluation": (lambda shop: {"evaluation": shop.reports[1]}, "is of another model"),
    "another version's, under this one's hash": (
        lambda shop: {"evaluation": shop.reports[1].model_copy(update={"hash": shop.reports[0].hash})},
        "is not what the reference claims",
    ),
    "a validation as evaluation": (lambda shop: {"evaluation": shop.valid[shop.data.hash]}, "was made by"),
    "a report file changed on disk": (_changed_file, "is not what was recorded"),
    "a record changed on disk": (_changed_record, "has other figures than the record"),
    "a validation of other data": (lambda shop: {"validation": shop.valid[shop.turned.hash]}, "is of another dataset"),
    "an evaluation as validation": (lambda shop: {"validation": shop.reports[0]}, "was made by"),
    "a validation outside the root": (
        lambda shop: {"validation": shop.valid[shop.data.hash].model_copy(update={"uri": "file:///elsewhere/valid"})},
        "lies outside the artifact root",
    ),
    "another model under the version's number": (
        lambda shop: {"version": at(_version(shop), shop.models[1]), "evaluation": shop.reports[1]},
        "is registered with the model",
    ),
    "a version that nobody registered": (
        lambda shop: {"version": _version(shop).model_copy(update={"version": 77})},
        "is not registered",
    ),
    "a version of another product": (
        lambda shop: {"version": _version(shop).model_copy(update={"name": "../../elsewhere"})},
        "is not registered",
    ),
}  # fmt: skip


def _version(shop: Shop) -> ModelVersion:
    return Ledger(FolderStore(shop.root), shop.name).entries()[0].version


@pytest.mark.parametrize("how", FORGED)
def test_a_forgery_promotes_nothing(shop: Shop, how: str) -> None:
    """Nothing that was not recorded of this very version and its data takes it one step further."""
    shop.registered()
    given = {"version": _version(shop), "validation": shop.valid[shop.data.hash], "evaluation": shop.reports[0]}
    forge, said = FORGED[how]
    failure = refusal(shop.asked("promote", **{**given, **forge(shop)}))
    assert failure.error in {"TransitionError", "IntegrityError", "ConfigurationError"}
    assert said in failure.message
    assert shop.moves() == ["registered"]


def test_figures_changed_in_transit_change_nothing(shop: Shop) -> None:
    """The gates read the store: a bad evaluation made good in its XCom, or a good one made bad, decides as recorded."""
    version, valid = shop.registered(), shop.valid[shop.data.hash]
    told = valid.model_copy(update={"passed": False, "broken": ("invented",), "facts": {"dataset": NOBODYS}})
    forged = invented(shop.reports[0], value=0.001, low=0.0, high=0.002).model_copy(update={"passed": False})
    stripped = version.model_copy(
        update={"facts": {"training_set": {"hash": shop.turned.hash}, "retuning": {"summary": "x"}}}
    )
    promoted = shop.asked("promote", version=stripped, validation=told, evaluation=forged)
    assert promoted.state == "success", promoted.failure
    assert shop.moves() == ["registered", "staging", "production-ready"]
    assert promoted.result is not None
    assert promoted.result.facts["training_set"]["hash"] == shop.data.hash
    moves = Ledger(FolderStore(shop.root), shop.name).entries()
    assert [(one.evidence["report"], one.evidence["hash"]) for one in moves[1:]] == [
        (valid.uri, valid.hash),
        (shop.reports[0].uri, shop.reports[0].hash),
    ]
    said = [{result["name"]: result["outcome"] for result in one.evidence["gates"]} for one in moves[1:]]
    assert said == [{"data": "passed"}, {"metric": "passed", "baseline": "passed", "skew": "passed", "card": "passed"}]
    spec = shop.spec("promote", interval=None, inputs={"version": version, "evaluation": shop.reports[0]})
    ledger = CheckedLedger(JobContext(spec, shop.root, find_job("promote").read(spec), Inputs(FolderStore(shop.root))))
    assert [*ledger.flaws(ledger.trusted())] == []  # what is made by the rules is found to be so
    assert ledger.mirror.kept().unlike(ledger.read()) == []


def test_a_bad_evaluation_made_good_in_its_xcom(shop: Shop) -> None:
    """The recorded figures are below the gate: rejected, whatever travelled."""
    text = (shop.package / "product.py").read_text()
    shop.write("product.py", text.replace("Gates(min_metric=0.6)", "Gates(min_metric=0.9999)"))
    try:
        reload(shop)
        version = shop.registered()
        forged = invented(shop.reports[0], value=0.99999, low=0.9999, high=1.0)
        promoted = shop.asked("promote", version=version, validation=shop.valid[shop.data.hash], evaluation=forged)
        assert promoted.state == "success", promoted.failure
        assert shop.moves() == ["registered", "staging", "rejected"]
    finally:
        shop.write("product.py", text)
        reload(shop)


def test_a_model_that_no_training_made(shop: Shop) -> None:
    """A model file of one's own can be evaluated, but becomes no version: no record tells how it was made."""
    folder = shop.root / "mine" / "model"
    shutil.copytree(folder_of(shop.models[0]), folder)
    mine = shop.models[0].model_copy(update={"uri": folder.as_uri()})
    report = shop.asked("evaluate", model=mine, training_set=shop.data).result
    failure = refusal(shop.asked("register", model=mine, evaluation=report))
    assert failure.error == "TransitionError"
    assert "no train job" in failure.message
    (folder / "more").write_text("x")
    assert refusal(shop.asked("evaluate", model=mine, training_set=shop.data)).error == "IntegrityError"


def test_a_model_is_registered_with_the_facts_of_its_training(shop: Shop) -> None:
    """Another run id, training set or cause in the model's reference is not what the version is registered with."""
    forged = shop.models[0].model_copy(update={"facts": {"run_id": "0" * 32, "training_set": shop.turned.to_json()}})
    version = shop.asked("register", model=forged, evaluation=shop.reports[0]).result
    assert version is not None
    assert version.facts["run_id"] == shop.models[0].facts["run_id"]
    assert version.facts["training_set"]["hash"] == shop.data.hash
    failure = refusal(shop.asked("register", model=forged, evaluation=shop.reports[1]))
    assert "is of another model" in failure.message


def test_a_champion_under_another_name(shop: Shop) -> None:
    """An evaluation against some weaker model that was called the champion opens no gate."""
    version = shop.registered()
    weak = shop.models[1]
    claimed = ModelVersion(uri=weak.uri, hash=weak.hash, name=shop.name, version=9)
    report = shop.asked("evaluate", model=shop.models[0], training_set=shop.data, champion=claimed).result
    failure = refusal(shop.asked("promote", version=version, validation=shop.valid[shop.data.hash], evaluation=report))
    assert "is not version 9" in failure.message
    as_first = claimed.model_copy(update={"version": version.version})
    failure = refusal(shop.asked("evaluate", model=shop.models[0], training_set=shop.data, champion=as_first))
    assert "is registered with the model" in failure.message


def test_an_evaluation_from_before_a_version_went_live(shop: Shop) -> None:
    """A challenger that was never compared with what serves by now is promoted by no older evaluation."""
    first, second, valid = shop.registered(), shop.registered(1), shop.valid[shop.data.hash]
    assert shop.asked("promote", version=first, validation=valid, evaluation=shop.reports[0]).state == "success"
    ledger, mirror = Ledger(FolderStore(shop.root), shop.name), Mirror(f"sqlite:///{shop.root}/mlflow.db", shop.name)
    ledger.move(first, Status.LIVE, reason="", by="tests")
    mirror.follow(ledger)
    failure = refusal(shop.asked("promote", version=second, validation=valid, evaluation=shop.reports[1]))
    assert failure.error == "TransitionError"
    assert "was compared with no champion, and by now version 1 is live" in failure.message
    assert shop.moves()[-1] == "live"


def reload(shop: Shop) -> None:
    """Have the product's declaration read again."""
    for name in [name for name in sys.modules if name.partition(".")[0] == shop.name]:
        del sys.modules[name]
