"""What a registration leaves beside the ledger's entry: a signature in the model's folder, and papers of its own."""

from __future__ import annotations

import json
from typing import Any

from airflow_mlops_provider.backends import signing
from airflow_mlops_provider.lifecycle.description.bom import bill_of_materials
from airflow_mlops_provider.lifecycle.description.card import model_card
from airflow_mlops_provider.lifecycle.description.facts import VersionFacts
from airflow_mlops_provider.lifecycle.description.provenance import provenance
from airflow_mlops_provider.lifecycle.references import Model
from airflow_mlops_provider.render.documents import html, markdown
from airflow_mlops_provider.runtime.context import AnyContext
from airflow_mlops_provider.storage.artifacts import SIGNATURE
from airflow_mlops_provider.storage.description import CARD, CARD_PAGE, version_facts
from airflow_mlops_provider.storage.layout import key_below


def sign(context: AnyContext, model: Model) -> None:
    """Put a signature beside a model's files, if a key is configured; their hash stays what it is."""
    if signer := signing.signer():
        signature = signer.model(context.open(model), context.product)
        context.store.write(f"{key_below(context.store, model.uri)}/{SIGNATURE}", signature)
        context.log.info("signed by key %s", signer.fingerprint[:12])


def describe(context: AnyContext, number: int) -> None:
    """Write model card, bill of materials and provenance of a version, as the records are now."""
    facts = version_facts(context.records, context.product, number)
    for name, data in papers(facts).items():
        (context.folder / name).write_bytes(data)


def papers(facts: VersionFacts) -> dict[str, bytes]:
    """Return what describes a version, by file name; the provenance is also signed, if a key is configured."""
    card, statement, signer = model_card(facts), provenance(facts), signing.signer()
    return {
        CARD: card.to_file(),
        CARD_PAGE: html(card).encode(),
        "model_card.md": markdown(card).encode(),
        "bom.cdx.json": _json(bill_of_materials(facts)),
        "provenance.json": _json(statement),
        **({"provenance.dsse.json": _json(signer.statement(statement))} if signer else {}),
    }


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode()
