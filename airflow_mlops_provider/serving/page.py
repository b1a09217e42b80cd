"""The page that a person sees at the server's address."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_mlops_provider.serving.server import ModelServer

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{name}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem}}
table{{border-collapse:collapse}}td{{padding:.2rem 1rem .2rem 0;vertical-align:top}}
pre{{background:#8881;padding:1rem;overflow:auto}}</style></head><body>
<h1>{name}</h1><p>{goal}</p>
<table><tr><td>Live version</td><td>{live}</td></tr><tr><td>State</td><td>{state}</td></tr>
<tr><td>Features known up to</td><td>{watermark}</td></tr><tr><td>Last failure</td><td>{failure}</td></tr></table>
<p><a href="version">version</a> · <a href="ready">ready</a> · <a href="health">health</a> ·
<a href="metrics">metrics</a> · <a href="openapi.json">API description</a></p>
<p>Predict with <code>POST predict</code>:</p><pre>{example}</pre></body></html>
"""


def index_page(server: ModelServer) -> str:
    """Return the page, as HTML that needs nothing else."""
    live, failure, watermark = server.follower.live, server.follower.failure, server.features.watermark
    columns = ", ".join(f'"{name}": …' for name in server.schema.known)
    return _PAGE.format(
        name=escape(server.product.name),
        goal=escape(server.product.goal),
        live=escape(f"{live.release.version}, since {live.since:%Y-%m-%d %H:%M:%S} UTC" if live else "none"),
        state=escape(server.not_ready() or "ready"),
        watermark=escape(f"{watermark:%Y-%m-%d %H:%M:%S} UTC" if watermark else "nothing yet"),
        failure=escape(f"version {failure.version}: {failure.error}" if failure else "none"),
        example=escape(f'{{"rows": [{{{columns}}}]}}'),
    )
