"""Only a result's manifest and pages are shown; whatever else a link names is refused before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import HTTPException

from airflow_mlops_provider.storage.artifacts import FolderStore
from airflow_mlops_provider.ui.files import ResultFile, locate, manifest_of, read

ROOT = "file:///data/mlops"
RESULT = f"flight_delay/drift/{'0a' * 16}"
OUTPUTS = f"{RESULT}/{'1b' * 8}"


@pytest.mark.parametrize("root", [ROOT, f"{ROOT}/", "s3://bucket/prefix"])
def test_report_and_manifest_are_found(root: str) -> None:
    """A link to a result finds its page, and its manifest one folder up, from either folder."""
    begin = root.rstrip("/")
    assert locate(root, f"{begin}/{OUTPUTS}", "drift.html").key == f"{OUTPUTS}/drift.html"
    assert locate(root, f"{begin}/{OUTPUTS}", "flights/validation.html").key == f"{OUTPUTS}/flights/validation.html"
    for uri in (f"{begin}/{OUTPUTS}", f"{begin}/{RESULT}"):
        assert locate(root, uri, "manifest.json").key == f"{RESULT}/manifest.json"


def test_what_a_pod_left_is_found() -> None:
    """Its log and its copy of the manifest lie in one folder, and who may read the one may read the other."""
    pod = "flight_delay/pods/train-0a1b"
    assert locate(ROOT, f"{ROOT}/{pod}", "log.txt") == ResultFile(pod, f"{pod}/log.txt", "text/plain; charset=utf-8")
    assert locate(ROOT, f"{ROOT}/{pod}", "manifest.json").key == f"{pod}/manifest.json"


@pytest.mark.parametrize(
    "uri",
    [
        f"{ROOT}/../secret/{OUTPUTS}",
        f"{ROOT}/flight_delay/pods",
        f"{ROOT}/flight_delay/pods/..",
        f"{ROOT}/flight_delay/pods/a/b",
        f"{ROOT}/flight_delay/drift/../../{OUTPUTS}",
        f"{ROOT}/{RESULT}/../../..",
        f"{ROOT}/%2e%2e/{RESULT}",
        f"{ROOT}/{OUTPUTS}/",
        f"{ROOT}/{OUTPUTS}\n",
        f"{ROOT}2/{OUTPUTS}",
        f"/data/mlops/{OUTPUTS}",
        f"file://elsewhere/data/mlops/{OUTPUTS}",
        f"http://169.254.169.254/{OUTPUTS}",
        f"s3://bucket/{OUTPUTS}",
        f"{ROOT}/flight_delay/ledger",
        f"{ROOT}/flight_delay/{'a' * 300}/{'0a' * 16}",
        f"{ROOT}/{'f' * 300}/drift/{'0a' * 16}",
        f"{ROOT}/_products",
        ROOT,
        "file:///etc",
        "",
    ],
)
def test_anything_but_a_result_below_the_root_is_refused(uri: str) -> None:
    """Other roots, other schemes, ways upward and other folders of the root are all 'no such result'."""
    with pytest.raises(HTTPException) as refused:
        locate(ROOT, uri, "drift.html")
    assert refused.value.status_code == 404


@pytest.mark.parametrize(
    "file",
    ["../manifest.html", "a/../../b.html", "/etc/passwd.html", ".hidden.html", "a/.tmp-x.html", "a//b.html", "x.html\n",
     "a\\b.html", "x.html\0.json", "", "x" * 300 + ".html", "a/" * 5 + "x.html", "a" * 300 + "/x.html", "ä.html"],
)  # fmt: skip
def test_file_names_that_lead_elsewhere_are_refused(file: str) -> None:
    """A file is named by plain names below its result's folder."""
    with pytest.raises(HTTPException) as refused:
        locate(ROOT, f"{ROOT}/{OUTPUTS}", file)
    assert refused.value.status_code == 404


@pytest.mark.parametrize("file", ["model.txt.exe", "train.parquet", "page.svg", "page.htm", "script.js", "mlflow.db"])
def test_other_kinds_of_files_are_refused(file: str) -> None:
    """Data, models and scripts are not served, even of a result."""
    with pytest.raises(HTTPException) as refused:
        locate(ROOT, f"{ROOT}/{OUTPUTS}", file)
    assert refused.value.status_code == 415


def test_symbolic_link_out_of_the_root_is_refused(tmp_path: Path) -> None:
    """What a link in the artifact root points to elsewhere stays unread."""
    (tmp_path / "secret.html").write_text("secret")
    store = FolderStore(tmp_path / "root")
    store.write(f"{OUTPUTS}/page.html", b"shown")
    store.path(f"{OUTPUTS}/way_out.html").symlink_to(tmp_path / "secret.html")
    assert read(store, ResultFile(RESULT, f"{OUTPUTS}/page.html", "text/html")) == b"shown"
    store.path(f"{OUTPUTS}/round.html").symlink_to("round.html")
    for name in ("way_out.html", "missing.html", "round.html"):
        with pytest.raises(HTTPException) as refused:
            read(store, ResultFile(RESULT, f"{OUTPUTS}/{name}", "text/html"))
        assert refused.value.status_code == 404


@pytest.mark.parametrize(("data", "status"), [(None, 404), (b"", 409), (b"{}", 409), (b"\xff", 409)])
def test_a_result_without_a_readable_manifest_is_refused(tmp_path: Path, data: bytes | None, status: int) -> None:
    """Who may read a result is known from its manifest alone; one that can't be read is named and opens nothing."""
    store = FolderStore(tmp_path)
    if data is not None:
        store.write(f"{RESULT}/manifest.json", data)
    with pytest.raises(HTTPException) as refused:
        manifest_of(store, ResultFile(RESULT, f"{OUTPUTS}/page.html", "text/html"))
    assert refused.value.status_code == status
    assert status == 404 or f"{RESULT}/manifest.json" in str(refused.value)
