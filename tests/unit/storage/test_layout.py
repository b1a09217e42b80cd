"""Keys below the artifact root: what is made is what is read, and nothing else is taken for it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_mlops_provider.lifecycle.records.spec import JobSpec, RunIdentity, Services
from airflow_mlops_provider.storage.layout import (
    content_key,
    find_result,
    key_in,
    manifest_beside,
    parse_result,
    record_kind,
    replaced_key,
    result_key,
    reuse_key,
)

SPEC = JobSpec(job="embed_v2", product="shop", root="file:///root", services=Services(landing="l", mlflow="m"))
WORK = result_key(SPEC, "ab" * 32)
RESULT = content_key(WORK, "cd" * 32)


def test_what_is_made_is_read() -> None:
    """The keys of a job with a digit in its name are told apart: work, result, and each kind of manifest."""
    assert f"shop/embed_v2/{'ab' * 16}" == WORK
    assert parse_result(WORK) == (WORK, WORK)
    assert parse_result(RESULT) == (RESULT, WORK)
    assert record_kind(f"{WORK}/manifest.json") == "newest"
    assert record_kind(replaced_key(WORK, datetime(2024, 1, 2, 3, 4, 5, 6, UTC))) == "replaced"
    assert record_kind(f"{reuse_key(WORK, RunIdentity(dag_id='a'))}/manifest.json") == "reused"


def test_a_result_is_found_below_any_root() -> None:
    """A URI names the same result wherever its root has been moved to, with or without a slash at its end."""
    for root in ("file:///a/b", "s3://bucket/deep/er"):
        assert find_result(f"{root}/{RESULT}/") == find_result(f"{root}/{RESULT}") == (RESULT, WORK)
        assert key_in(f"{root}/{RESULT}") == RESULT
        assert manifest_beside(f"{root}/{RESULT}/shop/page.html") == f"{root}/{WORK}/manifest.json"
    assert key_in("file:///a/b/c/d/e") == "b/c/d/e"


@pytest.mark.parametrize(
    "key",
    [
        "",
        f"{RESULT}/",
        f"{RESULT}\n",
        f"x/{RESULT}",
        f"Shop/embed/{'a' * 32}",
        f"shop/2embed/{'a' * 32}",
        f"shop/{'e' * 64}/{'a' * 32}",
        f"shop/embed/{'A' * 32}",
        f"shop/embed/{'a' * 31}",
        f"shop/embed/{'a' * 32}/checkpoints",
        f"shop/../{'a' * 32}",
    ],
)
def test_other_keys_are_no_results(key: str) -> None:
    """What no job's address makes is no result, and the files in it are no manifests."""
    assert parse_result(key) is None
    assert record_kind(f"{key}/manifest.json") is None


def test_names_have_a_length() -> None:
    """A job's folder may have any name that a product's may."""
    for job in ("a", "train", "embed_v2", "a" * 63):
        assert parse_result(f"shop/{job}/{'0' * 32}")
