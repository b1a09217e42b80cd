"""What people are shown who are asked whether a version may go live."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from airflow_mlops_provider.lifecycle.description.document import Document, Section, Table
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.release.evaluation import Evaluation
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry, live_version


def question(
    version: ModelVersion,
    entries: Sequence[LedgerEntry],
    evaluation: Evaluation | None,
    product: MLProduct | None,
    people: Mapping[str, Sequence[str]],
    still: int,
    links: Mapping[str, str],
) -> Document:
    """Return the question.

    :param evaluation: what the gates judged. :param product: None where there is only a name.
    :param people: who may decide, with their roles. :param still: how many of them must agree.
    :param links: words, by the address that they lead to.
    """
    live = live_version(entries)
    place = f"in place of version {live.version}" if live else "as the first"
    own = tuple(f"{e.became}: {e.reason} ({e.by})" for e in entries if e.version.version == version.version)
    deciding = ", ".join(f"{name} ({', '.join(roles)})" for name, roles in people.items())
    return Document(
        title=f"May version {version.version} of {version.name} go live?",
        lead=f"It passed the gates, and would go live {place}.",
        sections=(
            *_aims(product),
            *_judged(evaluation),
            Section(title="How it came here", texts=own),
            Section(title="Evidence", links=dict(links)),
            Section(title="Who decides", texts=(f"{still} of {deciding} must agree; silence is a no.",)),
        ),
    )


def _aims(product: MLProduct | None) -> Iterator[Section]:
    if product and product.business:
        kpi, value = product.business.kpi, product.business.value
        aim = f"It is to bring {kpi.name} to {kpi.target:g} {kpi.unit}" + (f"; {value}." if value else ".")
        yield Section(title="What it is for", texts=(product.goal, aim))


def _judged(evaluation: Evaluation | None) -> Iterator[Section]:
    if evaluation:
        worth = evaluation.worth.amounts if evaluation.worth else {}
        brought = (f"#would have brought, {evaluation.worth.currency}",) if evaluation.worth else ()
        rows = tuple(
            (name, str(estimate), *(f"{worth[name]:,.0f}" for _ in brought))
            for name, estimate in evaluation.contenders.items()
        )
        gain = evaluation.gain and (f"Gain over version {evaluation.champion_version}: {evaluation.gain}.",)
        said = (f"Judged on {evaluation.rows:,} examples of {evaluation.window}.", *(gain or ()))
        table = Table(head=("model", f"{evaluation.metric}, 95 % interval", *brought), rows=rows)
        yield Section(title="How good it is", texts=said, tables=(table,))
