"""The overview tells what manifests and ledger hold, in the loop's order, and lets no text of theirs become markup."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_mlops_provider.exceptions import LeakageError
from airflow_mlops_provider.lifecycle.records.manifest import Failure, Manifest, Output
from airflow_mlops_provider.lifecycle.references import Model, ModelVersion, Report
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.lifecycle.stages import LOOP, Stage
from airflow_mlops_provider.places.base import decide
from airflow_mlops_provider.render.style import STYLE
from airflow_mlops_provider.runtime.definition import all_jobs, find_job
from airflow_mlops_provider.storage.artifacts import FolderStore
from airflow_mlops_provider.storage.description import CARD_PAGE, papers_key
from airflow_mlops_provider.storage.manifests import read_manifest
from airflow_mlops_provider.storage.records import declare, declared
from airflow_mlops_provider.ui import evidence, files, pages, reading
from airflow_mlops_provider.ui.evidence import report_page
from airflow_mlops_provider.ui.reading import records
from airflow_mlops_provider.ui.record import ProductRecord
from flight_delay.product import product
from tests.factories.ui import World, replayed

other = product.model_copy(update={"name": "other"})


def everything(dag_id: str) -> bool:
    return True


def record(world: World) -> ProductRecord:
    (found,) = records(world.store, everything)
    assert isinstance(found, ProductRecord)
    return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return the record of a replay."""
    return replayed(tmp_path, product)


class Page(HTMLParser):
    """Collects a page's links, its tags, and the stages that it names."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "a":
            self.links.append(dict(attrs)["href"] or "")


def test_every_job_belongs_to_one_stage() -> None:
    """The page's stages are the loop's, and no job is left out or counted twice."""
    folders = {name: find_job(name).function.__module__.split(".")[-2] for name in all_jobs()}
    assert set(Stage) - set(folders.values()) == {"feedback"}  # which has no job
    assert {job.stage.value for job in all_jobs().values()} == set(folders.values())


def test_stages_stand_in_order_with_their_states(world: World) -> None:
    """A finished replay shows all ten stages, done, in the loop's order."""
    html = pages.product(record(world))
    assert re.findall(r"<li class='done'><b>(\w+)</b>", html) == list(LOOP)


def test_failure_and_crossed_limit_are_seen(world: World) -> None:
    """A failed job and drift beyond the limit change the states of their stages, and of no other."""
    world.job("train", "again", failure=Failure(error="JobLostError", message="gone", retryable=True))
    world.monitored(9, 2, 0.71, 0.44, 0.683)
    states = {stage.stage: (stage.state, stage.text) for stage in record(world).stages()}
    assert states.pop("training") == ("failed", "train: JobLostError")
    assert states.pop("feedback") == ("attention", "3 limits crossed")
    assert states.pop("monitoring")[0] == "done"  # its last report, on performance, passed
    assert {state for state, _ in states.values()} == {"done"}


def test_of_each_job_the_last_records_are_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were written last, by any order of their names, and that there are more is said."""
    for file in world.store.path(product.name).rglob("manifest.json"):
        ended = Manifest.from_file(file.read_bytes()).ended.timestamp()
        os.utime(file, (ended, ended))  # by the clock, many would have been written at the same time
    whole = record(world)
    assert not whole.older
    monkeypatch.setattr(reading, "MOST", 2)
    some = record(world)
    kept = {job: manifests[-2:] for job, manifests in whole.manifests.items()}
    assert some.manifests == kept
    assert some.older
    assert f"The last {min(pages.MOST_RUNS, len(some.runs()))} of more than {len(some.runs())}." in pages.product(some)


def test_product_that_has_only_begun(tmp_path: Path) -> None:
    """Before the first version there is a page, which says what has not happened yet."""
    world = World(tmp_path, product)
    assert pages.index(records(world.store, everything)).count("No product has run yet") == 1
    world.job("extract", 1, month=1)
    assert [stage.state for stage in record(world).stages()] == ["done", *["never"] * 9]
    assert "No version answers in production yet" in pages.product(record(world))


def test_live_version_and_its_reasons(world: World) -> None:
    """The page names the live version, each of its moves with the reason, and all versions newest first."""
    versions = record(world).versions()
    assert [(one.number, one.status) for one in versions] == [
        (3, Status.REJECTED), (2, Status.LIVE), (1, Status.RETIRED)
    ]  # fmt: skip
    html = pages.product(record(world))
    assert "v2 <small>since" in html
    assert "gain 0.0147 over champion v1" in html and "below -0.005" in html


def test_a_version_leads_to_its_card(world: World) -> None:
    """Where its registration left one, in that very folder; one of an older release has none."""
    assert "model_card" not in pages.product(record(world))
    before = world.ledger.live()
    assert before
    card = Output(name=CARD_PAGE, sha256="c" * 64, bytes=1)
    version = {name: getattr(before, name) for name in ("uri", "hash", "name", "version")}
    world.job("register", 2, kind=ModelVersion, outputs=(card,), **version)
    made = record(world).manifests["register"][-1]
    link = evidence.file_address(f"{world.store.uri}/{papers_key(made)}", CARD_PAGE)
    assert f"href='{link.replace('&', '&amp;')}'" in pages.product(record(world))


def test_every_link_leads_to_a_file_that_is_there(world: World) -> None:
    """No link on the page is refused or dead."""
    links = Page(pages.product(record(world))).links
    assert len(links) > 15
    lineages = [link for link in links if link.startswith("lineage?")]
    assert [parse_qs(urlsplit(link).query)["version"] for link in lineages] == [["2"], ["3"], ["2"], ["1"]]
    assert links[0] == "./"
    for link in set(links) - {"./", *lineages}:
        query = parse_qs(urlsplit(link).query)
        found = files.locate(world.store.uri, query["uri"][0], query["file"][0])
        assert files.manifest_of(world.store, found).spec.run.dag_id == "made_here"
        assert files.read(world.store, found)


def test_text_never_becomes_markup(tmp_path: Path) -> None:
    """Reasons, causes and error names come out as text; the page holds no script and loads nothing."""
    evil = "<script>alert(1)</script>'\"&"
    world = World(tmp_path, product.model_copy(update={"goal": evil}))
    version = world.version(1, evil, evil, 0.7)
    world.go_live(version, evil)
    world.job("extract", 1, failure=Failure(error=evil, message=evil, retryable=False))
    html = pages.product(record(world))
    names = {tag for tag, _ in Page(html).tags}
    assert names.isdisjoint({"script", "link", "img", "iframe", "object", "form"})
    assert html.count("alert(1)") == html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 5


def test_unreadable_results_are_left_out(world: World) -> None:
    """Who may read no DAG sees no product; who may read some sees their results only."""
    world.job("drift", "secret", dag_id="secret", failure=Failure(error="Secret", message="", retryable=True))
    assert records(world.store, lambda dag_id: False) == []
    (allowed,) = records(world.store, lambda dag_id: dag_id != "secret")
    assert "Secret" not in pages.product(allowed)
    assert "Secret" in pages.product(record(world))


def test_declaration_follows_the_code_and_outdated_ones_are_left_out(tmp_path: Path) -> None:
    """A changed declaration replaces the kept one; one that no longer fits is not shown, and breaks nothing."""
    store = FolderStore(tmp_path)
    declare(store, product)
    declare(store, product.model_copy(update={"goal": "Another"}))
    store.write("_products/old.json", b'{"name": "old"}')
    assert [one.goal for one in declared(store)] == ["Another"]


def test_error_of_a_failed_job_says_where_its_manifest_lies(world: World) -> None:
    """The link of a failed task leads to the manifest of its failure."""
    world.job("train", "bad", failure=Failure(error="LeakageError", message="leaked", retryable=False))
    key = world.folder("train", "bad").removeprefix(f"{world.store.uri}/")
    manifest = read_manifest(world.store, key)
    assert manifest is not None
    with pytest.raises(LeakageError) as failed:
        decide(manifest.spec, 1, manifest)
    assert failed.value.result == world.folder("train", "bad")
    assert files.locate(world.store.uri, failed.value.result, "manifest.json").key == f"{key}/manifest.json"


def test_index_lists_each_product_with_what_is_live(world: World) -> None:
    """The entry shows every product: its live version, its last run, what monitoring saw, and the way to its page."""
    World(world.store.root, other).job("extract", 1, month=1, failure=Failure(error="Lost", message="", retryable=True))
    html = pages.index(records(world.store, everything))
    assert [link for link in Page(html).links if link.startswith("product?")] == [
        *["product?name=flight_delay"] * 2, *["product?name=other"] * 2
    ]  # fmt: skip
    assert "<b>v2</b>" in html and ">held<" in html and ">Lost<" in html
    assert "lineage?product=flight_delay&amp;version=2" in html


def test_each_figure_leads_to_its_report_and_each_run_to_its_manifest(world: World) -> None:
    """Dots and bars of the charts, versions and last runs are links to what they rest on."""
    html = pages.product(record(world))
    runs = html.partition("<h2>Last runs</h2>")[2]
    assert runs.count(">manifest</a>") == pages.MOST_RUNS and f"The last {pages.MOST_RUNS} of " in runs
    assert len(re.findall(r"<a href='report\?[^']*drift.html'><rect", html)) == 5
    assert len(re.findall(r"<a href='report\?[^']*performance.html'><circle", html)) == 4
    versions = html.partition("<h2>Model versions</h2>")[2].partition("<h2>")[0]
    assert versions.count(">evaluation</a>") == versions.count(">manifest</a>") == 3


def test_report_has_a_way_back(world: World) -> None:
    """Above a report stand the entry, its product and its manifest; the report itself is in a frame, untouched."""
    report = world.job("drift", 9, kind=Report, month=9, passed=True, page="drift.html")
    found = files.locate(world.store.uri, report.uri, "drift.html")
    html = report_page(files.manifest_of(world.store, found), report.uri, "drift.html")
    links, frames = Page(html).links, [attrs for tag, attrs in Page(html).tags if tag == "iframe"]
    assert links[:2] == ["./", "product?name=flight_delay"] and "file=manifest.json" in links[2]
    assert [frame["src"] for frame in frames] == [links[-1]] and links[-1].startswith("artifact?")


@pytest.mark.parametrize("columns", re.findall(r"\.loop\{[^}]*?repeat\((\d+),", STYLE))
def test_experimentation_stands_beside_training(columns: str) -> None:
    """However many stages a row takes, these two are in the same one, and no row is cut short."""
    at = [LOOP.index(Stage(name)) // int(columns) for name in ("experimentation", "training")]
    assert at[0] == at[1] and len(LOOP) % int(columns) == 0


SPOILED = {
    "manifest": ("drift", b"{", "manifest.json"),
    "newer manifest": ("train", b'{"schema_version": 99}', "manifest.json"),
    "empty manifest": ("promote", b"", "manifest.json"),
}


@pytest.mark.parametrize("kind", SPOILED)
def test_one_manifest_that_cannot_be_read_is_named(world: World, kind: str) -> None:
    """It takes no card away but is named with its path; what stands in it is not repeated."""
    job, data, file = SPOILED[kind]
    key = next(key for key in world.store.list(f"flight_delay/{job}") if key.endswith(f"/{file}"))
    world.store.write(key, data)
    found = record(world)
    html = pages.product(found)
    assert key in html
    assert "<h2>Model versions</h2>" in html and "v2 <small>since" in html
    assert "1 not readable" in pages.index([found])


@pytest.mark.parametrize("data", [b"", b'{"sequence": "one"}', b"\xff\xfe"])
def test_a_ledger_that_cannot_be_read_is_named(world: World, data: bytes) -> None:
    """Without it no version is shown, and the page says why; runs and monitoring are there."""
    world.store.write("flight_delay/ledger/00000000.json", data)
    html = pages.product(record(world))
    assert "flight_delay/ledger" in html and "<h2>Last runs</h2>" in html and "What monitoring saw" in html


def test_a_declaration_that_cannot_be_read_is_named(world: World) -> None:
    """A product declared by another release is listed as such, and the others as ever."""
    World(world.store.root, other).job("extract", 1)
    world.store.write("_products/flight_delay.json", b'{"name": "flight_delay"}')
    first, second = records(world.store, everything)
    assert "_products/flight_delay.json" in pages.index([first, second])
    assert "_products/flight_delay.json" in pages.product(first)
    assert isinstance(second, ProductRecord)
    assert reading.records(world.store, lambda dag_id: False) == []


@pytest.mark.parametrize(
    ("job", "facts"),
    [
        ("drift", {}),
        ("drift", {"share": "much", "prediction": None, "version": 2}),
        ("performance", {"metric": {"value": 0.7}, "value": {}}),
        ("evaluate", {"evaluation": {"metric": "roc_auc"}}),
    ],
)
def test_a_report_of_another_shape_is_named(world: World, job: str, facts: dict[str, object]) -> None:
    """Facts that this release does not know are those of one file, which is named; no card misses."""
    report = world.job(job, 9, kind=Report, month=9, passed=True, page="drift.html", facts=facts)
    found = record(world)
    html = pages.product(found)
    assert found.errors[0].startswith(f"{report.uri.removeprefix(f'{world.store.uri}/').rpartition('/')[0]}/manifest")
    assert "be shown" not in html and found.errors[0].partition(" ")[0] in html
    assert "v2 <small>since" in html and "What monitoring saw" in html


def test_a_card_that_fails_takes_no_other_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else is odd costs the card that shows it, or the product's row in the index."""
    monkeypatch.setattr(ProductRecord, "monitored", lambda self: 1 / 0)
    found = record(world)
    html = pages.product(found)
    assert "Monitoring can&#39;t be shown" in html and "ZeroDivisionError" in html
    assert "v2 <small>since" in html and "<h2>Last runs</h2>" in html
    assert "ZeroDivisionError" in pages.index([found]) and "Flight delay" in pages.index([found])


def test_versions_are_shown_to_whom_may_read_all_their_moves(world: World) -> None:
    """A version trained, or moved, by a DAG that somebody may not read is not there for them, in whole."""
    model = world.job("train", "hidden", dag_id="secret", kind=Model)
    trained = ModelVersion(uri=model.uri, hash=model.hash, name=product.name, version=8)
    world.move(trained, Status.REGISTERED, "nobody is to know")
    moved = world.version(9, "drift", "trained openly", 0.7)
    world.ledger.move(moved, Status.STAGING, reason="nobody is to know", by="secret/one/promote")
    (mine,) = records(world.store, lambda dag_id: dag_id != "secret")
    assert isinstance(mine, ProductRecord)
    html = pages.product(mine)
    assert "nobody is to know" not in html and "trained openly" not in html
    assert [one.number for one in mine.versions()] == [3, 2, 1]
    assert [one.number for one in record(world).versions()] == [9, 8, 3, 2, 1]


def test_what_was_done_outside_airflow_is_shown_to_whom_may_read_all(world: World) -> None:
    """A move by no DAG is decided as all DAGs are."""
    version = world.version(9, "hand", "by hand", 0.7)
    world.ledger.move(version, Status.STAGING, reason="by hand", by="a job outside Airflow")
    (some,) = records(world.store, lambda dag_id: dag_id == "made_here")
    assert isinstance(some, ProductRecord) and 9 not in [one.number for one in some.versions()]
    assert 9 in [one.number for one in record(world).versions()]


@pytest.mark.parametrize("text", ["x" * 3000, "٣ שלום \u202e txt", "🐟" * 500, "</p><svg onload=alert(1)>", "a\0b"])
def test_any_text_is_shown(tmp_path: Path, text: str) -> None:
    """Long, foreign and hostile reasons, run ids and errors leave page and index whole."""
    world = World(tmp_path, product.model_copy(update={"name": "n" * 63, "goal": text}))
    version = world.version(1, text, text, 0.7)
    world.go_live(version, text)
    world.job("extract", text, failure=Failure(error=text, message=text, retryable=False))
    found = record(world)
    for html in (pages.product(found), pages.index([found])):
        assert html.encode() and "onload=alert(1)>" not in html.replace("onload=alert(1)&gt;", "")
        assert f"N{'n' * 62}" in html
