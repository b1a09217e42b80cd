"""A version's lineage: the graph, what is found in it, and its drawing."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from airflow_mlops_provider.cli.lineage import run
from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.records.lineage import NOT_READABLE, Lineage, Made, lineage
from airflow_mlops_provider.lifecycle.records.manifest import Commit, Manifest, Output
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, RunIdentity, Services
from airflow_mlops_provider.lifecycle.records.uses import read_from, use, with_hash
from airflow_mlops_provider.lifecycle.references import Dataset, Model, ModelVersion, Reference
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry, Status
from airflow_mlops_provider.runtime.definition import find_job
from airflow_mlops_provider.ui.lanes import WIDE, places
from airflow_mlops_provider.ui.lineage import box_height, drawing

START = datetime(2026, 3, 1, tzinfo=UTC)
EVIL = "<script>alert(1)</script>'\"&"


def months(number: int) -> Interval:
    return Interval(start=datetime(2013, number, 1, tzinfo=UTC), end=datetime(2013, number + 1, 1, tzinfo=UTC))


def made(job: str, what: Any, *, kind: type[Reference] = Dataset, month: int | None = None, **told: Any) -> Made:
    """Return a result and the record of a job that made it."""
    content = sha256(repr((job, what)).encode()).hexdigest()
    fields = {"interval": months(month)} if kind is Dataset and month else {}
    facts = told.pop("facts", {})
    reference = kind(kind=kind.model_fields["kind"].default, uri=f"file:///r/shop/{job}/{content[:32]}/{content[:16]}",
                     hash=content, facts=facts, **fields)  # fmt: skip
    inputs, params = told.pop("inputs", {}), told.pop("params", {})
    settings = told.pop("settings", {})
    spec = JobSpec(
        job=job, product="shop", interval=months(month) if month else None, inputs=inputs, params=params,
        settings=settings, root="/r",
        services=Services(landing="l", mlflow="sqlite://"),
        run=RunIdentity(dag_id=told.pop("dag_id", "shop_features"), run_id="one", task_id=job, try_number=1),
    )  # fmt: skip
    manifest = Manifest(
        state="success", spec=spec, address=content, makes=find_job(job).makes, result=reference,
        started=START, ended=START + timedelta(seconds=2), **told,
    )  # fmt: skip
    return Made(reference, manifest)


def graph(status: Status = Status.LIVE, reason: str = "first", gone: str = "") -> Lineage:
    """Return the lineage of a version that learned from February, was judged on March, and looked back on January.

    :param gone: the job whose records are missing.
    """
    everything: list[Made] = []
    features = {}
    for month in (1, 2, 3):
        files = {f"sales/2013-{month:02}.csv": f"{month}" * 64, "shops.csv": "a" * 64}
        raw = made("extract", month, month=month, facts={"rows": {"sales": 90, "shops": 4}, "files": files})
        declared = {"settings": {"clean": "shop.rules:clean"}, "code_hashes": {"shop.rules": "c" * 64}}
        clean = made("clean", month, month=month, inputs={"raw": raw.reference}, **declared)
        outputs = (Output(name="takings.parquet", sha256="e" * 64, bytes=1),)
        computed = made("compute", month, month=month, inputs={"clean": (clean.reference,)}, outputs=outputs)
        features[month] = computed.reference
        everything += [computed, clean, raw]
    spans = {"train": [str(months(2))], "evaluate": [str(months(3))], "rows": {"train": 8, "evaluate": 4}}
    given = {"features": (features[2], features[3]), "history": (features[1],)}
    data = made("training_set", 1, month=3, facts=spans, inputs=given, dag_id="shop_training", params={"evaluate": 1})
    trainer = {"trainer": {"code": "shop.trainer:train", "settings": {"leaves": 4}}}
    model = made(
        "train", 1, kind=Model, inputs={"training_set": data.reference}, dag_id="shop_training", seed=7,
        settings=trainer, code=Commit(commit="f" * 40, dirty=True),
        code_hashes={"shop": "0" * 64, "shop.trainer": "d" * 64}, packages={"lightgbm": "4.6"},
    )  # fmt: skip
    version = ModelVersion(uri=model.reference.uri, hash=model.reference.hash, name="shop", version=1)
    moves = [
        LedgerEntry(sequence=0, version=version, status=Status.REGISTERED, was=None, reason=reason, by="t", at=START),
        LedgerEntry(sequence=1, version=version, status=status, was=None, reason=reason, by="t", at=START),
    ]
    told = [model, data, *sorted(everything, key=lambda one: ("compute", "clean", "extract").index(job_of(one)))]
    return lineage(version, moves, [lost(one) if job_of(one) == gone else one for one in told], None)


def job_of(one: Made) -> str:
    assert one.manifest is not None
    return one.manifest.spec.job


def lost(one: Made) -> Made:
    return Made(one.reference, None, "gone")


def test_the_graph_says_what_each_result_was_made_with() -> None:
    """Hash, rows and interval of the data; code, settings, seed, commit and packages of the training; the runs."""
    found = graph()
    model, data, *others = found.items
    assert [item.kind for item in found.items] == ["model", "training set", *["features"] * 3, *["clean data"] * 3,
                                                   *["raw data"] * 3]  # fmt: skip
    assert model.made is not None
    assert model.made.code == {"shop": "0" * 64, "shop.trainer:train": "d" * 64}
    assert (model.made.settings, model.made.seed) == ({"leaves": 4}, 7)
    assert (model.made.commit.commit, model.made.commit.dirty) == ("f" * 40, True)
    assert found.environments[model.made.environment] == {"lightgbm": "4.6"}
    assert model.made.run == RunIdentity(dag_id="shop_training", run_id="one", task_id="train", try_number=1)
    assert (data.rows, data.interval) == ({"train": 8, "evaluate": 4}, months(3))
    assert others[-1].files == {"sales/2013-03.csv": "3" * 64, "shops.csv": "a" * 64}
    assert Lineage.model_validate(json.loads(json.dumps(found.to_json()))) == found


def test_features_say_as_what_they_were_used() -> None:
    """What was learned from, what it was judged on, and what the join merely looked back on are told apart."""
    found = graph()
    roles = {link.source: link.role for link in found.links if link.target == found.items[1].id}
    by_month = {item.interval.start.month: roles[item.id] for item in found.items[2:5] if item.interval}
    assert by_month == {1: "history", 2: "learned from", 3: "judged on"}


def test_models_of_a_dataset() -> None:
    """Any dataset's hash, by its beginning, leads to the version, where it stands, and the way there."""
    found = graph(Status.RETIRED)
    raw = next(item for item in found.items if item.kind == "raw data" and item.interval == months(2))
    made = use(found, with_hash(found.items, raw.hash[:10]))
    assert made is not None
    assert (made.name, made.version, made.status) == ("shop", 1, Status.RETIRED)
    assert made.through == ("raw data", "clean data", "features", "training set (learned from)", "model")
    assert use(found, with_hash(found.items, found.items[0].hash)).through == ("model",)  # type: ignore[union-attr]
    assert use(found, []) is None


def test_a_hash_that_means_nothing_or_several() -> None:
    """Unknown, ambiguous and malformed hashes are refused with those that there are."""
    items = graph().items
    twin = items[2].model_copy(update={"id": "twin", "hash": f"{items[2].hash[:-1]}g"})
    with pytest.raises(UnknownNameError, match=re.escape(f"{items[0].hash[:12]} (model)")):
        with_hash(items, "000000")
    with pytest.raises(ConfigurationError, match=r"may mean .* or .*more of its digits"):
        with_hash([*items, twin], items[2].hash[:20])
    with pytest.raises(ConfigurationError, match="'XYZ' is no hash"):
        with_hash(items, "XYZ")


@pytest.mark.parametrize("what", ["sales/2013-02.csv", "2013-02.csv", "2" * 12])
def test_models_of_a_delivered_file(what: str) -> None:
    """A file leads to the data that was read from it, by key, by name and by hash."""
    (found,) = read_from(graph().items, what)
    assert (found.file, found.sha256, found.item.interval) == ("sales/2013-02.csv", "2" * 64, months(2))


def test_a_file_at_hand_is_known_by_its_content() -> None:
    """The same bytes under another name are found; others under the same name are not, and the known ones are named."""
    items = graph().items
    assert len(read_from(items, "/elsewhere/copy.csv", "a" * 64)) == 3
    with pytest.raises(UnknownNameError, match=r"shops.csv \(bbbbbbbbbbbb\)'; known: shops.csv \(aaaaaaaaaaaa\)$"):
        read_from(items, "/elsewhere/shops.csv", "b" * 64)


def test_a_name_of_several_files() -> None:
    """A name that two folders have is refused, naming both."""
    items = [
        item.model_copy(update={"files": {**item.files, "weather/2013-02.csv": "9" * 64}}) for item in graph().items
    ]
    with pytest.raises(ConfigurationError, match=r"sales/2013-02\.csv or weather/2013-02\.csv; name one"):
        read_from(items, "2013-02.csv")


def test_boxes_do_not_overlap_and_links_lead_to_the_right() -> None:
    """Data stands left of what was made of it, one lane an interval, no box on another."""
    found = graph()
    placed = places(found, box_height)
    boxes = list(placed.boxes.values())
    assert len(boxes) == len(found.items)
    for link in found.links:
        assert placed.boxes[link.source].x + WIDE < placed.boxes[link.target].x
    for one in boxes:
        for other in boxes:
            apart = one.y + one.height <= other.y or other.y + other.height <= one.y
            assert one is other or one.x != other.x or apart
    filed = {lane.interval: (lane.top, lane.top + lane.height) for lane in placed.lanes}
    assert list(filed) == [months(number) for number in (1, 2, 3)]
    for box in boxes:
        if box.item.kind in ("raw data", "clean data", "features") and box.item.interval:
            top, bottom = filed[box.item.interval]
            assert top <= box.y and box.y + box.height <= bottom


def test_the_drawing_is_one_file_of_its_own() -> None:
    """It is well-formed, names every result, holds no script, and refers to nothing outside."""
    found = graph()
    root = ET.fromstring(drawing(found, alone=True))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    texts = {node.text for node in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {item.hash[:12] for item in found.items} <= texts
    assert {
        "leaves 4",
        "seed 7",
        "commit ffffffff, dirty",
        "trainer:train dddddddd",
        "sales/2013-02.csv 22222222",
    } <= texts
    assert {node.tag.rpartition("}")[2] for node in root.iter()}.isdisjoint(
        {"script", "image", "a", "use", "foreignObject"}
    )


def test_on_a_page_each_box_leads_to_its_manifest() -> None:
    """Whose record may be read is a link to it; what somebody may not read is none."""
    found = graph()
    assert drawing(found).count("file=manifest.json'><g") == len([item for item in found.items if item.made])
    some = found.shown_to(lambda dag_id: dag_id == "shop_training")
    assert drawing(some).count("file=manifest.json'><g") == 2


def test_text_never_becomes_markup() -> None:
    """A reason from the ledger comes out as text."""
    assert "alert(1)" in ET.tostring(ET.fromstring(drawing(graph(reason=EVIL), alone=True)), "unicode", "text")


def test_a_missing_record_is_said() -> None:
    """A result whose record is gone stands in graph and drawing, and they say so."""
    found = graph(gone="clean")
    clean = [item for item in found.items if item.kind == "clean"]
    assert [(item.made, item.missing) for item in clean] == [(None, "gone")] * 3
    assert drawing(found).count("no record of its making") == 3


def test_results_that_somebody_may_not_read_keep_their_hash_only() -> None:
    """Of a DAG that may not be read neither rows, code, files nor runs are shown."""
    found = graph().shown_to(lambda dag_id: dag_id == "shop_training")
    assert [bool(item.made) for item in found.items] == [True, True, *[False] * 9]
    html = drawing(found)
    assert NOT_READABLE in html
    assert "shop_features" not in html and "sales" not in html and found.items[-1].hash[:12] in html


@pytest.mark.parametrize("asked", [{}, {"model": "shop@1", "dataset": "abcdef"}, {"model": "shop"}, {"model": "shop@x"},
                                   {"dataset": "abcdef", "graph": Path("x.svg")}])  # fmt: skip
def test_a_question_that_makes_no_sense(asked: dict[str, Any], tmp_path: Path) -> None:
    """Nothing asked, two things at once, and what is no version are refused before anything is read or written."""
    nothing = dict.fromkeys(("model", "dataset", "file", "graph", "json"))
    with pytest.raises(ConfigurationError):
        run(Namespace(**{**nothing, "root": str(tmp_path / "none"), **asked}))
    assert not Path("x.svg").exists()
