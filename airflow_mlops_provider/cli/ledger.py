"""``airflow mlops ledger``: whether the ledgers are whole, and how one is put right."""

from __future__ import annotations

import getpass
import json
import os
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airflow_mlops_provider import discovery
from airflow_mlops_provider.exceptions import MLOpsError
from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook
from airflow_mlops_provider.hooks.services import services
from airflow_mlops_provider.jobs.deployment.reconcile import Context
from airflow_mlops_provider.jobs.deployment.verify import Damage, Verified
from airflow_mlops_provider.jobs.deployment.verify import verify as look
from airflow_mlops_provider.jobs.registry.repair import repair as put_right
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.operators.deployment import port
from airflow_mlops_provider.runtime.context import JobContext
from airflow_mlops_provider.runtime.definition import find_job
from airflow_mlops_provider.runtime.inputs import Inputs
from airflow_mlops_provider.storage.artifacts import ArtifactStore, open_store
from airflow_mlops_provider.storage.records import Records


def verify(args: Namespace) -> bool:
    """Print a line for each product, and one for each damage; return whether there is none."""
    store = ArtifactStoreHook().store()
    names = [discovery.known_product(store, args.product).name] if args.product else _names(store)
    looked = [_look(store, name) for name in names]
    if args.json:
        print(json.dumps([verified.to_json() for verified in looked], indent=1))
    elif looked:
        print("\n".join(line for verified in looked for line in _lines(verified)))
    else:
        print(f"no product has a model version in {store.uri}", file=sys.stderr)
    return not any(verified.damage for verified in looked)


def repair(args: Namespace) -> None:
    """Put a product's ledger right, and print what was done. Raises as the repair itself."""
    store = ArtifactStoreHook().store()
    with _context(store, args.product) as context:
        done = put_right(context, args.reason, f"airflow mlops ledger repair/{getpass.getuser()}")
    if done is None:
        print(f"the ledger of {args.product} is whole: nothing was done")
    else:
        print("\n".join([*done.what, f"kept as {done.name}; airflow mlops ledger verify {args.product} looks again"]))


def _names(store: ArtifactStore) -> list[str]:
    """Return the products that have, or had, a version: a ledger that is gone must not go unseen."""
    return [name for name in sorted(discovery.known_names(store)) if Records(store).registered_any(name)]


def _look(store: ArtifactStore, name: str) -> Verified:
    try:
        with _context(store, name) as context:
            return look(context)
    except MLOpsError as error:
        return Verified(product=name, damage=(Damage(what=str(error), next="then verify again"),))


@contextmanager
def _context(store: ArtifactStore, name: str) -> Iterator[Context]:
    """Give what the reconciliation of a product is given."""
    product = discovery.known_product(store, name)
    addresses, root, secrets = services(product.name, guarded=("cluster",))
    os.environ.update(secrets)
    job = find_job("reconcile")
    parts = job.parts_of(product, port())
    spec = JobSpec(job=job.name, product=product.name, root=root, services=addresses, **parts)
    with tempfile.TemporaryDirectory(prefix="mlops-ledger-") as folder:
        yield JobContext(spec, Path(folder), job.read(spec), Inputs(open_store(root, secrets)))


def _lines(verified: Verified) -> Iterator[str]:
    live = f"version {verified.live} is live" if verified.live else "no version is live"
    state = f"DAMAGED, {len(verified.damage)} found" if verified.damage else f"whole; all agree that {live}"
    yield f"{verified.product}: {verified.entries} entries, {state}"
    for damage in verified.damage:
        yield f"  {damage.what}" + (f"\n    next: {damage.next}" if damage.next else "")
    yield from (f"  {note}" for note in verified.notes)
