"""The page that a person sees at the server's address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops_provider.render.markup import Html, join, tag
from airflow_mlops_provider.render.parts import card, link, links, report, table

if TYPE_CHECKING:
    from airflow_mlops_provider.serving.server import ModelServer

_LINKS = {name: name for name in ("version", "ready", "health", "metrics")} | {"openapi.json": "API description"}


def index_page(server: ModelServer) -> Html:
    """Return the page."""
    live, failure, watermark = server.follower.live, server.follower.failure, server.features.watermark
    columns = ", ".join(f'"{name}": …' for name in server.schema.known)
    state = (
        ("Live version", f"{live.release.version}, since {live.since:%Y-%m-%d %H:%M:%S} UTC" if live else "none"),
        ("State", server.not_ready() or "ready"),
        ("Features known up to", f"{watermark:%Y-%m-%d %H:%M:%S} UTC" if watermark else "nothing yet"),
        ("Last failure", f"version {failure.version}: {failure.error}" if failure else "none"),
    )
    return report(
        server.product.name,
        server.product.goal,
        card("Live", table(("what", "now"), state)),
        card(
            join(("Predict with ", tag("code", "POST predict"))),
            tag("pre", f'{{"rows": [{{{columns}}}]}}'),
            tag("p", links(*(link(href, words) for href, words in _LINKS.items()))),
        ),
    )
