"""The command: every row with its light, its evidence and the next step; as a table, JSON or a page."""

from __future__ import annotations

import json
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence

from airflow_mlops_provider import discovery
from airflow_mlops_provider.cli.doctor import stack
from airflow_mlops_provider.cli.doctor.look import look, mask_of
from airflow_mlops_provider.lifecycle.maturity.rows import ROWS, Row, judge
from airflow_mlops_provider.lifecycle.maturity.verdict import Light, Verdict
from airflow_mlops_provider.render import parts
from airflow_mlops_provider.render.terminal import console, table
from airflow_mlops_provider.runtime.process.masks import Mask

HEAD = ("row", "", "light", "seen, and what to do next")
STYLES = {Light.GREEN: "", Light.YELLOW: "yellow", Light.RED: "red", Light.GREY: "dim"}
BADGES = {Light.GREEN: "held", Light.YELLOW: "attention", Light.RED: "failed", Light.GREY: ""}
Judged = Sequence[tuple[Row, Verdict]]


def run(args: Namespace) -> bool:
    """Print what is to be seen, or write the stack that is there; return whether no row is red."""
    if args.write:
        file = stack.write(args.dags, discovery.products(discovery.product_folders(args.dags), []))
        print(f"{file} says what is there; fill in each why")
        return True
    seen = look(args.dags, args.product)
    mask = mask_of(seen)
    judged = [(row, _masked(judge(row, seen), mask)) for row in ROWS]
    if args.html:
        args.html.write_text(page(judged, [product.product.name for product in seen.products]), "utf-8")
    if args.json:
        print(json.dumps([{**row._asdict(), **said.to_json()} for row, said in judged], indent=1))
    else:
        show(judged)
    return not any(said.off for _, said in judged)


def show(judged: Judged) -> None:
    """Print the rows."""
    filled = table(HEAD, ((row.id, row.title, said.light, _words(said)) for row, said in judged))
    for line, (_, said) in zip(filled.rows, judged, strict=True):
        line.style = STYLES[said.light]
    console().print(filled)
    print(_counts(judged))


def page(judged: Judged, products: Sequence[str]) -> str:
    """Return the rows as a page."""
    head = ("row", "", "works when", "light", "seen", "next")
    rows = (
        (row.id, row.title, row.works, parts.badge(BADGES[said.light], said.light), said.evidence, said.next)
        for row, said in judged
    )
    lead = f"{', '.join(products) or 'No product'}: {_counts(judged)}"
    return str(parts.report("What this installation can show", lead, parts.table(head, rows)))


def _words(said: Verdict) -> str:
    return f"{said.evidence}\n→ {said.next}" if said.next else said.evidence


def _masked(verdict: Verdict, mask: Mask) -> Verdict:
    return verdict.model_copy(update={"evidence": mask(verdict.evidence), "next": mask(verdict.next)})


def _counts(judged: Judged) -> str:
    counted = Counter(said.light for _, said in judged)
    return ", ".join(f"{counted[light]} {light}" for light in reversed(Light))
