"""The overview tells what manifests and ledger hold, in the loop's order, and lets no text of theirs become markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_mlops_provider.backends.artifacts import FolderStore
from airflow_mlops_provider.exceptions import LeakageError
from airflow_mlops_provider.jobs.catalogue import JOBS
from airflow_mlops_provider.jobs.declarations import declare, declared
from airflow_mlops_provider.jobs.runner import read_manifest
from airflow_mlops_provider.lifecycle.manifest import Failure
from airflow_mlops_provider.lifecycle.registry import Status
from airflow_mlops_provider.lifecycle.stages import STAGES
from airflow_mlops_provider.places.base import decide
from airflow_mlops_provider.ui import charts, files, index, pages, reading, report_page
from airflow_mlops_provider.ui.reading import records
from airflow_mlops_provider.ui.record import STAGE_JOBS, ProductRecord
from flight_delay.product import product
from tests.ui_world import World, replayed


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
    assert tuple(STAGE_JOBS) == STAGES
    assert sorted(job for jobs in STAGE_JOBS.values() for job in jobs) == sorted(JOBS)


def test_stages_stand_in_order_with_their_states(world: World) -> None:
    """A finished replay shows all ten stages, done, in the loop's order."""
    html = pages.product(record(world))
    assert re.findall(r"<li class='done'><b>(\w+)</b>", html) == list(STAGES)


def test_failure_and_crossed_limit_are_seen(world: World) -> None:
    """A failed job and drift beyond the limit change the states of their stages, and of no other."""
    world.job("train", "again", failure=Failure(error="JobLostError", message="gone", retryable=True))
    world.monitored(9, 2, 0.71, 0.44, 0.683)
    states = {stage.stage: (stage.state, stage.text) for stage in record(world).stages()}
    assert states.pop("training") == ("failed", "train: JobLostError")
    assert states.pop("feedback") == ("attention", "3 limits crossed")
    assert states.pop("monitoring")[0] == "done"  # its last report, on performance, passed
    assert {state for state, _ in states.values()} == {"done"}


def test_product_that_has_only_begun(tmp_path: Path) -> None:
    """Before the first version there is a page, which says what has not happened yet."""
    world = World(tmp_path, product)
    assert index.index(records(world.store, everything)).count("No product has run yet") == 1
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


def test_bars_are_marked_from_the_limit_on() -> None:
    """A share that reaches the limit is drawn as one that crosses it, as the limits themselves judge."""
    drawn = charts.bars(["a", "b", "c", "d"], [0.59, 0.6, None, 0.7], 0.6)
    assert [tag[1]["class"] for tag in Page(drawn).tags if tag[0] == "rect"] == ["bar", "over", "over"]


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
