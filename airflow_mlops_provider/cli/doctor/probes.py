"""What is looked at live: the nine components, by their rows' ids, and what else rows are about. Nothing is changed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from airflow.sdk import conf

from airflow_mlops_provider.backends import probes
from airflow_mlops_provider.backends.extras import lacking
from airflow_mlops_provider.backends.http import client
from airflow_mlops_provider.backends.model_server.client import TOKEN_VARIABLE, server_state
from airflow_mlops_provider.cli.doctor import code, records
from airflow_mlops_provider.cli.doctor.airflow_state import AirflowState
from airflow_mlops_provider.extensions import DRIFT_METHODS
from airflow_mlops_provider.hooks.defaults import option
from airflow_mlops_provider.hooks.feast import FeastHook
from airflow_mlops_provider.hooks.mlflow import MlflowHook
from airflow_mlops_provider.hooks.model_server import ModelServerHook
from airflow_mlops_provider.hooks.prometheus import PrometheusHook
from airflow_mlops_provider.hooks.source import SourceHook
from airflow_mlops_provider.lifecycle.maturity.seen import ProductSeen
from airflow_mlops_provider.lifecycle.maturity.verdict import Verdict, green, red, shown, yellow
from airflow_mlops_provider.lifecycle.records.uses import Found, use
from airflow_mlops_provider.lifecycle.release.registry import aliases, live_version, registry_flaw
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.places.named import USUAL, find
from airflow_mlops_provider.runtime.code import commit_of
from airflow_mlops_provider.storage.artifacts import ArtifactStore, FolderStore
from airflow_mlops_provider.storage.description import signer_of
from airflow_mlops_provider.storage.intervals import current
from airflow_mlops_provider.storage.layout import key_below
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.records import Records

#: What tasks of somebody's own handed on: no job made it, so that there is no record to lack.
EXTERNAL = "external data"
#: Pipelines whose runs nobody should have to start.
BY_ITSELF = ("feature_engineering", "training", "deployment", "batch_inference", "monitoring")


@dataclass(frozen=True)
class Installation:
    """What probes look at.

    :param airflow: what Airflow's database says; else why it says nothing.
    :param unread: a line for each record that can't be read.
    """

    store: ArtifactStore
    airflow: AirflowState | Verdict
    unread: Sequence[str]


def source(seen: ProductSeen, _: Installation) -> Verdict:
    """The product's code is at a commit, its repository answers, and runs store the commit."""
    name = seen.product.name
    hook = SourceHook.of_product(name)
    remote = hook.probe() if hook.defined else "no connection, so that its own repository is the remote"
    commit = commit_of(f"{name}.product")
    if commit.commit is None:
        return red(f"the code of {name} is at no commit")
    made = seen.manifests[-1:]
    there = {"a clean work tree": not commit.dirty, "a run with its commit": made and made[0].code.commit}
    return shown(f"commit {commit.commit[:12]}; {remote}", (what for what, value in there.items() if not value))


def orchestration(seen: ProductSeen, installation: Installation) -> Verdict:
    """The scheduler lives, every DAG file can be read, and the product's DAGs have run."""
    state = installation.airflow
    if isinstance(state, Verdict):
        return state
    ill = [name for name, status in state.health.items() if status == "unhealthy"]
    if ill or state.errors:
        return red("; ".join([*(f"{name} is unhealthy" for name in ill), *state.errors]))
    prefix = f"{seen.product.name}_"
    there = {
        "a run that succeeded": state.ran(prefix),
        "a run that an asset started": state.ran(prefix, "asset_triggered"),
    }
    words = f"{len(state.paused)} DAGs, {state.ran(prefix)} runs of the product succeeded"
    return shown(words, (name for name, value in there.items() if not value))


def feature_store(seen: ProductSeen, installation: Installation) -> Verdict:
    """Entities have the same values offline and online."""
    if not current(installation.store, seen.product.name, "loaded"):
        return yellow("no features were loaded yet")
    from airflow_mlops_provider.backends.feature_store.feast.agreement import compare

    count, differing = compare(_feast(seen, installation))
    return red("; ".join(differing)) if differing else green(f"{count} values are the same offline and online")


def loaded(seen: ProductSeen, installation: Installation) -> Verdict:
    """Each interval has as many rows offline as its load recorded: none is lost, none is there twice."""
    import pyarrow.parquet as pq

    datasets, rows = current(installation.store, seen.product.name, "loaded"), 0
    offline = _feast(seen, installation).offline if datasets else None
    for dataset in datasets:
        for view, count in dataset.facts["rows"].items():
            assert offline
            assert dataset.interval
            there = pq.read_metadata(offline.file(view, dataset.interval)).num_rows
            if there != count:
                return red(f"view {view} has {there} rows of {dataset.interval}, and {count} were loaded")
            rows += count
    return (
        green(f"{rows} rows of {len(datasets)} intervals, as loaded") if datasets else yellow("nothing was loaded yet")
    )


def _feast(seen: ProductSeen, installation: Installation) -> Any:
    from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend

    hook = FeastHook.of_product(seen.product.name)
    os.environ.update(hook.secrets())
    assert isinstance(installation.store, FolderStore), "a product's feature store needs a folder as artifact root"
    return FeatureStoreBackend(
        seen.product.shape, installation.store.path(f"{seen.product.name}/feast"), hook.settings()
    )


def training(seen: ProductSeen, _: Installation) -> Verdict:
    """The place where trainings run answers, and has what the trainer needs."""
    name = seen.product.place_of(Stage.TRAINING) or option("default_place") or USUAL
    missing = lacking(seen.product.training.trainer) if name == USUAL else None
    if missing:
        return red(missing, "install it where tasks run")
    words = f"place {name}: {find(name).probe()}"
    return shown(words, [] if seen.of("train", "trial") else ["a training"])


def registry(seen: ProductSeen, installation: Installation) -> Verdict:
    """MLflow answers, and has the ledger's versions, its head, and their artifacts."""
    from airflow_mlops_provider.backends.tracking.mlflow.mirror import Mirror

    name, entries = seen.product.name, seen.entries
    hook = MlflowHook.of_product(name)
    mirror = Mirror(hook.settings()["uri"], name)
    if mirror.database is not None and not mirror.database.exists():
        return red(f"{mirror.database} is gone") if entries else yellow("MLflow's database is made at its first use")
    answers = hook.probe()
    if seen.newest is None:
        return yellow(f"{answers}; no version is registered")
    mirror.credentials = hook.access()[1]
    known, shows = mirror.versions(name), mirror.read()
    unknown = registry_flaw(entries, known) or ("the ledger's head is not there" if shows.head is None else None)
    if unknown:
        return red(f"{answers}; {unknown}", f"airflow mlops adopt {name}, if this MLflow is the right one")
    behind = Ledger(installation.store, name).since(shows.head)[1]
    files = installation.store.list(key_below(installation.store, seen.newest.version.uri))
    wrong = [alias for alias, number in aliases(entries).items() if shows.aliases.get(alias) != number]
    there = {"the model's files": files, "the newest entries": not behind, "its aliases": not wrong}
    words = f"{answers}; {len(known)} versions, {len(files)} files of v{seen.newest.version.version}"
    return shown(words, (what for what, value in there.items() if not value))


def metadata(seen: ProductSeen, installation: Installation) -> Verdict:
    """The newest version's record leads to data and code, and its data lead back to it."""
    installation.store.list("_products")
    if seen.newest is None:
        return yellow(f"{len(seen.manifests)} manifests, no model version")
    name, version, all_records = seen.product.name, seen.newest.version, Records(installation.store)
    all_records.manifest_of(version)
    graph = all_records.lineage(name, version.version)
    first = next((item for item in reversed(graph.items) if item.files or item.rows), graph.items[-1])
    back = use(graph, [Found(item=item) for item in graph.items if item.id == first.id])
    missing = [item.missing for item in graph.items if item.missing and item.kind != EXTERNAL]
    if missing or back is None:
        return red(
            "; ".join(missing) or f"nothing leads back from {first.kind} {first.hash[:12]}", "restore the records"
        )
    words = f"v{version.version} is made of {len(graph.items) - 1} results; {first.kind} {first.hash[:12]} leads to it"
    return shown(f"{len(seen.manifests)} manifests; {words}", installation.unread[:1], "not readable")


def chain(seen: ProductSeen, installation: Installation) -> Verdict:
    """Each entry of the ledger holds a digest of those before it; and whether the newest version is signed."""
    entries = Ledger(installation.store, seen.product.name).entries()
    if not entries:
        return yellow("the ledger is empty")
    newest = entries[-1].version
    signer = signer_of(installation.store, newest)
    signed = f"signed by key {signer[:12]}" if signer else "unsigned"
    chained = f"{len(entries)} entries of the ledger, each chained to those before it"
    return green(f"{chained}; v{newest.version} is {signed}")


def serving(seen: ProductSeen, _: Installation) -> Verdict:
    """The model server answers with the version that is live."""
    live, (url, token) = live_version(seen.entries), _server(seen)
    state = server_state(url, token)
    if live is None:
        return yellow("no version is live yet", "let the pipeline deployment run")
    if state is None:
        return red(f"no model server answers at {url}, and v{live.version} is live", "start it, or deploy again")
    if (state.product, state.version) != (seen.product.name, live.version):
        return red(f"{url} serves {state.product} v{state.version}, and v{live.version} is live", "deploy again")
    words = f"{url} serves v{state.version}, features up to {state.watermark or 'nothing'}"
    return shown(words, [state.not_ready] if state.not_ready else [], "not ready")


def latency(seen: ProductSeen, _: Installation) -> Verdict:
    """The model server has measured calls, and is no process of this machine."""
    url, token = _server(seen)
    with client(url, None, token, probes.SECONDS) as opened:
        text = opened.get("/metrics").raise_for_status().text
    sums = dict(re.findall(r"^mlops_serving_request_seconds_(count|sum)\S* (\S+)$", text, re.MULTILINE))
    count = float(sums.get("count", 0))
    words = f"{count:.0f} calls of /predict" + (f", {1000 * float(sums['sum']) / count:.1f} ms each" if count else "")
    there = {"a measured call": count, "a container": ModelServerHook.of_product(seen.product.name).defined}
    return shown(words, (what for what, value in there.items() if not value))


def _server(seen: ProductSeen) -> tuple[str, str]:
    hook, serving = ModelServerHook.of_product(seen.product.name), seen.product.serving
    port = int(option("serving_port") or serving.port)
    return serving.address(seen.product.name, hook.settings()["url"], port), hook.secrets().get(TOKEN_VARIABLE, "")


def monitoring(seen: ProductSeen, installation: Installation) -> Verdict:
    """The pipeline that watches is there and not paused, its method is installed, and it has judged intervals."""
    DRIFT_METHODS.find(seen.product.monitoring.drift_method)
    made, state = seen.of("drift", "performance"), installation.airflow
    ran = [manifest.spec.run.dag_id for manifest in made if manifest.spec.run.dag_id]
    dag_id = ran[-1] if ran else f"{seen.product.name}_monitoring"
    if isinstance(state, Verdict):
        return yellow(f"Airflow does not say whether {dag_id} runs", "see C3")
    if state.paused.get(dag_id, bool(ran)):
        return red(f"{dag_id} is {'paused' if dag_id in state.paused else 'not there'}", "unpause it in Airflow")
    words = f"{dag_id} runs; {len(seen.judgements)} intervals judged"
    return shown(words, [] if seen.judgements else ["a judged interval"])


def by_hand(seen: ProductSeen, installation: Installation) -> Verdict:
    """No run of the loop was started by hand."""
    state = installation.airflow
    if isinstance(state, Verdict):
        return state
    prefixes = [f"{seen.product.name}_{name}" for name in BY_ITSELF]
    manual = sum(state.ran(prefix, "manual") for prefix in prefixes)
    count = sum(state.ran(prefix) for prefix in prefixes) - manual
    words = f"{count} runs were started by schedule or assets, {manual} by hand"
    return shown(words, ["a run that started by itself"] * (not count) + ["runs without a hand"] * bool(manual))


def prometheus() -> Verdict:
    """Prometheus answers, where one is configured."""
    hook = PrometheusHook()
    return green(hook.probe()) if hook.defined else yellow("no Prometheus is configured", "define mlops_prometheus")


def pages() -> Verdict:
    """Airflow's server has the page MLOps; whom it lets see what, is its own affair."""
    url = f"{(conf.get('api', 'base_url', fallback='') or 'http://localhost:8080').rstrip('/')}/mlops/"
    with client(url, None, None, probes.SECONDS) as opened:
        status = opened.get(url).status_code
    return green(f"{url} answers") if status in (200, 401, 403) else red(f"{url} answers with status {status}")


Probe = Callable[[ProductSeen, Installation], Verdict]
#: The components, by their rows' ids, and what else is looked at of each product.
PROBES: dict[str, Probe] = {
    "C1": lambda seen, _: code.pipelines(seen),
    "C2": source,
    "C3": orchestration,
    "C4": feature_store,
    "C5": training,
    "C6": registry,
    "C7": metadata,
    "C8": serving,
    "C9": monitoring,
    "loaded": loaded,
    "chain": chain,
    "latency": latency,
    "alike": lambda seen, installation: records.answers_alike(installation.store, seen),
    "review": lambda seen, _: code.people(seen),
    "typed": lambda seen, _: code.functions(seen),
    "by hand": by_hand,
}
#: What is looked at once, whatever products there are.
ALONE: dict[str, Callable[[], Verdict]] = {"prometheus": prometheus, "pages": pages}
