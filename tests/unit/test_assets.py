"""The assets that carry the loop, and the links to a task's evidence, have the names that others rely on."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_mlops_provider import assets
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.operators.links import ManifestLink, ReportLink, page

PRODUCT = MLProduct.model_construct(name="flights")


@pytest.mark.parametrize("what", list(assets.KINDS))
def test_every_kind_has_its_asset(what: str) -> None:
    """Each kind of asset is named after product and kind, in name and URI."""
    asset = getattr(assets, what)(PRODUCT)
    assert (asset.name, asset.uri) == (f"flights.{what}", f"mlops://flights/{what}")


def test_uri_has_one_form() -> None:
    """A closing slash and a query make no second asset."""
    assert assets.sanitize_uri(urlsplit("mlops://flights/drift/?a=1")).geturl() == "mlops://flights/drift"


@pytest.mark.parametrize("uri", ["mlops://flights/drfit", "mlops://Flights/drift", "mlops:///drift", "mlops://flights"])
def test_misspelt_uri_is_refused(uri: str) -> None:
    """A URI that no product updates is refused, with the kinds that there are: a schedule on it would never fire."""
    with pytest.raises(ValueError, match="production_ready"):
        assets.sanitize_uri(urlsplit(uri))


def test_link_addresses_a_file_that_airflow_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a browser cannot open is shown by Airflow; what it can, it opens itself."""
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://airflow:8080/")
    parts = urlsplit(page("file:///root/a b", "report.html"))
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == "http://airflow:8080/mlops/report"
    assert parse_qs(parts.query) == {"uri": ["file:///root/a b"], "file": ["report.html"]}
    assert page("https://reports/one/", "report.html") == "https://reports/one/report.html"


def test_links_have_names_and_keys_of_their_own() -> None:
    """Two links of one task do not overwrite each other."""
    links = [ManifestLink(), ReportLink()]
    assert len({link.name for link in links}) == len({link.xcom_key for link in links}) == 2
