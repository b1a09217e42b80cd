"""Writes what was agreed: the product's folder, the DAG file beside it, and the history; whole, or nothing of it."""

from __future__ import annotations

import os
import shutil
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops_provider.cli.arguments import HOME
from airflow_mlops_provider.cli.initiation.data import Data
from airflow_mlops_provider.demo import home as demo_home
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.hooks import defaults
from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook
from airflow_mlops_provider.jobs.initiation.profile import PAGE
from airflow_mlops_provider.jobs.initiation.profile import write as write_report
from airflow_mlops_provider.lifecycle.initiation.profile import Profile
from airflow_mlops_provider.lifecycle.initiation.writing.declared import Declared
from airflow_mlops_provider.lifecycle.initiation.writing.folder import DAG_FILE, PIPELINES, folder
from airflow_mlops_provider.lifecycle.sections import Serving
from airflow_mlops_provider.storage.artifacts import FolderStore, open_store
from airflow_mlops_provider.storage.atomic import atomic_create, atomic_write

if TYPE_CHECKING:
    from airflow_mlops_provider.backends.profiles.history import Laid

#: A run of a pipeline takes so many minutes of a small machine; learning, judging and serving take some more.
MINUTES_A_RUN, MINUTES_MORE = 0.4, 3


@dataclass(frozen=True)
class Target:
    """Where things go.

    :param to: the folder of DAG files. :param landing: the landing root, a folder or a bucket.
    :param home: of an Airflow that ``airflow mlops up`` starts, or may start; None for another.
    :param report: where the report goes, if not into the product's folder.
    """

    to: Path
    landing: str
    home: Path | None
    report: Path | None = None

    @classmethod
    def of(cls, args: Namespace) -> Target:
        """Return the targets that are named, else those of the Airflow in ``AIRFLOW_HOME``."""
        mine = Path(os.environ.get("AIRFLOW_HOME") or HOME).absolute()
        home = mine if _is_ours(mine) else None
        if args.landing or defaults.option("landing_root"):
            landing = args.landing or str(defaults.option("landing_root"))
        elif home:
            landing = str(home / demo_home.LANDING)
        else:
            landing = defaults.landing_root(ArtifactStoreHook().settings()["root"])
        local = home if home and landing == str(home / demo_home.LANDING) else None
        return cls(to=args.to, landing=landing, home=local, report=args.report)


def _is_ours(home: Path) -> bool:
    try:
        demo_home.check(home)
    except ConfigurationError:
        return False
    return True


def write(seen: Profile, declared: Declared, data: Data, target: Target, *, decide: bool) -> list[str]:
    """Write everything, and return lines that say what is where and what comes next.

    :param decide: whether nobody has agreed to what is proposed yet.
    :raises ConfigurationError: if something of that name is there already.
    """
    name = declared.proposal.name
    product, store = target.to / name, open_store(target.landing)
    if product.exists():
        raise ConfigurationError(f"{product.resolve()} is there already; give another name, or go to another folder")
    queried = declared.source.query is not None
    if not queried and store.list(name):
        raise ConfigurationError(f"{store.uri}/{name} is there already, and is not overwritten; name another --landing")
    target.to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=target.to) as scratch:
        made = Path(scratch) / name
        made.mkdir()
        _write_product(made, seen, declared, decide=decide, url=data.is_url)
        laid = None if queried else _lay(declared, data, store)
        if target.report:
            atomic_write(target.report, (made / PAGE).read_bytes())
            (made / PAGE).unlink()
        made.rename(product)
    with suppress(FileExistsError):  # whoever has such a file has DAGs of their own in it
        atomic_create(target.to / DAG_FILE, PIPELINES.encode())
    return [*_written(target, declared, laid, store), *_next(target, declared)]


def _write_product(made: Path, seen: Profile, declared: Declared, *, decide: bool, url: bool) -> None:
    write_report(made, seen, declared.proposal)
    taken = len(list(made.parents[1].glob("*/product.py")))
    port = Serving().port + taken if taken else None  # the first product's is the usual one
    for file, text in folder(declared, decide=decide, url=url, port=port).items():
        (made / file).write_text(text, "utf-8")


def _lay(declared: Declared, data: Data, store: object) -> Laid:
    """Cut all rows into deliveries below the landing root; nothing is there before all of them are."""
    from airflow_mlops_provider.backends.profiles.history import History

    root = store.root if isinstance(store, FolderStore) else None
    if root:
        root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".laying-", dir=root) as scratch:
        history = History(declared, Path(scratch))
        for where, part in data.parts():
            history.add(part, where)
        laid = history.close()
        made = Path(scratch) / declared.proposal.name
        if root:
            shutil.move(made, root / made.name)
        else:
            store.upload(made, made.name)  # type: ignore[attr-defined]  # every store can
    return laid


# --- what is said -----------------------------------------------------------------------------------------------------


def _written(target: Target, declared: Declared, laid: Laid | None, store: object) -> Iterator[str]:
    product = target.to / declared.proposal.name
    yield f"\nproduct: {product}/ ({', '.join(sorted(file.name for file in product.glob('*.py')))})"
    yield f"report: {target.report or product / PAGE}"
    if laid is None:
        yield f"history: a query of {declared.source.conn_id} for each interval"
        return
    yield f"history: {laid.rows:,} rows in {len(laid.files)} files, {getattr(store, 'uri', '')}/{laid.files[0]} and on"
    left = {"without a time": laid.timeless, "before the first interval": laid.earlier}
    left["of an interval that is not over, or not among them"] = laid.later
    for why, rows in left.items():
        if rows:
            yield f"  {rows:,} rows {why} are not there"


def _next(target: Target, declared: Declared) -> Iterator[str]:
    """Yield the commands that follow, and how long the first model takes."""
    delivery, name = declared.proposal.delivery, declared.proposal.name
    minutes = round(MINUTES_MORE + MINUTES_A_RUN * delivery.intervals)
    yield "\nnext:"
    yield f"  read {target.to / name / 'product.py'}, above all what says `decide`"
    if target.home:
        yield f"  airflow mlops up --dags {target.to} --home {target.home}"
    else:
        yield f"  put {name}/ and {DAG_FILE} of {target.to} where the DAGs of your Airflow lie"
        yield f"  airflow dags unpause --treat-dag-id-as-regex '{name}_.*'"
    yield f"  the first model answers after some {minutes} minutes, if it is better than none; see the page MLOps"
