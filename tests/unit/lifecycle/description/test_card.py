"""The card says what the records say, names what they lack, and never fails of it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from airflow_mlops_provider.lifecycle.description.annex_iv import POINTS, DossierFacts, dossier
from airflow_mlops_provider.lifecycle.description.bom import bill_of_materials, purl
from airflow_mlops_provider.lifecycle.description.card import caveats, model_card
from airflow_mlops_provider.lifecycle.description.document import Document, Section
from airflow_mlops_provider.lifecycle.description.facts import VersionFacts
from airflow_mlops_provider.lifecycle.description.provenance import provenance
from airflow_mlops_provider.lifecycle.description.signature import signer_in
from airflow_mlops_provider.lifecycle.records.manifest import Commit
from airflow_mlops_provider.lifecycle.release.evaluation import Estimate, LeftOut
from airflow_mlops_provider.storage.description import version_facts
from airflow_mlops_provider.storage.records import Records
from flight_delay.product import product as flight_delay
from tests.factories.ui import World, replayed

METRIC = {"name": "roc_auc"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Records that hold little: no data, no settings, no packages."""
    return replayed(tmp_path, flight_delay)


@pytest.fixture
def facts(world: World) -> VersionFacts:
    """A version that is better than the one before it, and judged by a metric of which more is better."""
    facts = version_facts(Records(world.store), flight_delay.name, 2)
    assert facts.evaluated
    spec = facts.evaluated.spec.model_copy(update={"settings": {"metric": METRIC}})
    return replace(facts, evaluated=facts.evaluated.model_copy(update={"spec": spec}))


def judged(facts: VersionFacts, **fields: Any) -> VersionFacts:
    assert facts.evaluation
    return replace(facts, evaluation=facts.evaluation.model_copy(update=fields))


def parts(card: Document) -> dict[str, Section]:
    return {section.title: section for section in card.sections}


def test_what_is_not_recorded_is_said(facts: VersionFacts) -> None:
    """Without product, evaluation and validation each section that they would fill says what would record it."""
    card = model_card(replace(facts, product=None, evaluation=None, evaluated=None, figures=None))
    lacking = {title: part.missing for title, part in parts(card).items() if part.missing}
    assert lacking.keys() == {
        *("Intended use", "Owners", "Training", "Evaluation", "Slices", "Calibration and errors", "Data checks")
    }
    assert all("recorded" in words for each in lacking.values() for words in each)
    assert set(card.unfilled) == lacking.keys() - {"Training"} | {"Data"}
    assert "It was never judged: nothing says how good it is." in caveats(replace(facts, evaluation=None)).texts


def test_caveats_of_an_evaluation(facts: VersionFacts) -> None:
    """What it does not surely beat, what was left out, and where it is weakest, whichever way the metric goes."""
    left_out = LeftOut(column="carrier", why="fewer than 1000 rows", count=2, rows=30, largest={"HA": 20, "OO": 10})
    slices = {"origin=JFK": {"rows": 5000, "value": 0.61}, "origin=EWR": {"rows": 4000, "value": 0.72}}
    gain = Estimate(value=0.001, low=-0.002, high=0.003)
    weak = judged(
        facts, gain=gain, slices=slices, left_out=(left_out,), baseline=Estimate(value=0.8, low=0.8, high=0.8)
    )
    said = caveats(weak).texts
    assert any(text.startswith("It is not surely better than no model: roc_auc 0.7631") for text in said)
    assert any(text.startswith("It is not surely better than champion version 1") for text in said)
    assert f"Not judged: {left_out}." in said
    assert "It is weakest in slice origin=JFK: roc_auc 0.6100 on 5,000 rows." in said
    assert weak.evaluated
    spec = weak.evaluated.spec.model_copy(update={"settings": {"metric": {**METRIC, "higher_is_better": False}}})
    other = replace(weak, evaluated=weak.evaluated.model_copy(update={"spec": spec}))
    assert "It is weakest in slice origin=EWR: roc_auc 0.7200 on 4,000 rows." in caveats(other).texts


def test_a_good_version_has_none_of_these(facts: VersionFacts) -> None:
    """The evaluation of a version that clears both gives no caveat."""
    assert [text for text in caveats(facts).texts if "surely" in text or "weakest" in text] == []


def test_code_that_no_commit_holds(facts: VersionFacts) -> None:
    """Is a caveat, and stands beside the commit."""
    dirty = replace(facts, trained=facts.trained.model_copy(update={"code": Commit(commit="a" * 40, dirty=True)}))
    assert "The code that trained it had changes which no commit holds." in caveats(dirty).texts
    assert parts(model_card(dirty))["Training"].facts["commit"] == f"{'a' * 40} with uncommitted changes"


def test_what_is_no_number_is_a_dash(facts: VersionFacts) -> None:
    """A metric that came out as NaN makes a card and a valid bill of materials, and no weakest slice."""
    nothing = Estimate(value=math.nan, low=math.nan, high=math.nan)
    odd = judged(facts, challenger=nothing, slices={"origin=JFK": {"rows": 5, "value": math.nan}})
    card = model_card(odd)
    assert parts(card)["Evaluation"].tables[0].rows[0] == ("challenger", None, None, None)
    assert Document.from_file(card.to_file()) == card
    assert not any("weakest" in text for text in caveats(odd).texts)
    assert valid(odd)


def test_the_ledger_decides_which_report_counts(world: World) -> None:
    """Of several evaluations of a model the one that it was promoted on, else the newest."""
    facts = version_facts(Records(world.store), flight_delay.name, 1)
    assert facts.evaluation
    assert facts.evaluation.challenger.value == 0.7412
    assert [move.status.value for move in facts.graph.moves][:3] == ["registered", "staging", "production-ready"]


def valid(facts: VersionFacts) -> bool:
    text = json.dumps(bill_of_materials(facts))
    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_bills_of_materials_are_valid(facts: VersionFacts) -> None:
    """Whatever is on record, and the same each time."""
    code = Commit(repository="git@example.org:a team/models.git", commit="a" * 40, dirty=True)
    packages = {"Foo_Bar.baz": "1.0+cu 12", "airflow-mlops-provider": "0.1.0"}
    full = replace(
        facts, trained=facts.trained.model_copy(update={"code": code, "packages": packages}), signer="f" * 64
    )
    for each in (facts, full, replace(facts, product=None, evaluation=None)):
        assert valid(each)
        assert bill_of_materials(each) == bill_of_materials(each)
    source = bill_of_materials(full)["metadata"]["component"]["externalReferences"][0]
    assert source["url"] == "ssh://git@example.org/a%20team/models.git"
    assert purl("Foo_Bar.baz", "1.0+cu 12") == "pkg:pypi/foo-bar-baz@1.0%2Bcu%2012"


def test_provenance_of_an_image(facts: VersionFacts) -> None:
    """The image that trained it is a dependency by its digest; one without is named without."""
    for image, digest in (("sha256:" + "b" * 64, {"sha256": "b" * 64}), ("trainer", None)):
        statement = provenance(replace(facts, trained=facts.trained.model_copy(update={"image": image})))
        dependencies = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
        named = next(each for each in dependencies if each["name"] == "image")
        assert (named["uri"], named.get("digest")) == (f"oci:{image}", digest)


def test_the_dossier_has_every_point(world: World, facts: VersionFacts) -> None:
    """In the annex's order; what no record says is named, unless the provider's own document is there."""
    entries = Records(world.store).entries(flight_delay.name)
    own = {"5": {"documents/5.pdf": "risks.pdf"}}
    page = dossier(DossierFacts(facts, entries), {"1a": {"model_card.html": "card"}}, own)
    names = [section.title.partition(" ")[0] for section in page.sections]
    assert names == [*(f"1({x})" for x in "abcdefgh"), *(f"2({x})" for x in "abcdefgh"), *"3456789"]
    by_name = dict(zip(names, page.sections, strict=True))
    assert by_name["1(a)"].links == {"model_card.html": "card"}
    assert by_name["1(a)"].facts["live before it"] == "version 1"
    assert by_name["5"].missing == ()
    assert by_name["8"].missing[0].startswith("a copy of the declaration; recorded by a document 8.md")
    assert not by_name["8"].filled
    assert [row[1] for row in by_name["6"].tables[0].rows][:3] == [1, 1, 1]
    assert len({point.key for point in POINTS}) == len(POINTS) == 23


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"verificationMaterial": {"publicKey": null}}'])
def test_no_signature_names_no_key(data: bytes) -> None:
    """What is no signature is taken for none."""
    assert signer_in(data) == ""
