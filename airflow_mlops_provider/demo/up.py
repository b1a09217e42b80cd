"""``airflow mlops up``: a local Airflow with MLflow on any folder of DAG files, left running."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from airflow_mlops_provider import discovery
from airflow_mlops_provider.backends.modules import source_file
from airflow_mlops_provider.demo import home as demo_home
from airflow_mlops_provider.demo.local_airflow import processes
from airflow_mlops_provider.demo.local_airflow.settings import USER, password
from airflow_mlops_provider.demo.local_airflow.stack import Stack
from airflow_mlops_provider.demo.replay import MONTHS, PRODUCT
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.render import terminal
from airflow_mlops_provider.runtime.code import load
from airflow_mlops_provider.storage.artifacts import FolderStore
from airflow_mlops_provider.storage.ledger import Ledger


def start_and_leave(home: Path, dags: Path, port: int, mlflow_port: int, serving_port: int | None = None) -> None:
    """Start Airflow, MLflow and the model servers of products with a live version, and leave them running.

    To the reference product, where it is and has no deliveries yet, the first months are delivered.

    :param serving_port: the model server's; None for the products' own.
    :raises ConfigurationError: if there is no product or no DAG file, if the home is no home of a stack, or a port is
        taken; nothing was started then.
    :raises MLOpsError: if something does not come up; what was started is stopped.
    """
    errors: list[str] = []
    console, products = terminal.console(), usable_products(dags, errors)
    for line in errors:
        console.print(f"{line}; without it", markup=False)
    demo_home.check(home)
    check_ports(products, serving_port)
    further = ",".join(map(str, discovery.further_folders()))
    environment = {**demo_home.environment(home, products, serving_port), "AIRFLOW__MLOPS__PRODUCTS_FOLDERS": further}
    stack = Stack(home, dags, port, environment)
    processes.check_port(mlflow_port)
    if [product.name for product in products] == [PRODUCT] and not any(home.glob("*")):
        demo_home.make_anew(home)
    stack.start(lambda line: console.print(f"[dim]{line}[/]"))
    demo_home.prepare_mlflow(home)
    options = ["--backend-store-uri", demo_home.mlflow_uri(home), "--host", "127.0.0.1", "--port", str(mlflow_port)]
    command = [sys.executable, "-m", "mlflow", "server", *options, "--workers", "1"]
    processes.start("mlflow", command, stack.env, stack.log("mlflow"), stack.home)
    for product in products:
        if Ledger(FolderStore(home / demo_home.ARTIFACTS), product.name).live():
            serve(product, home, stack.env, serving_port)
    for line in deliver_first(products, home / demo_home.LANDING):
        console.print(line, markup=False)
    stack.detach()
    console.print(addresses(stack, products, mlflow_port, serving_port))


def usable_products(dags: Path, errors: list[str]) -> list[MLProduct]:
    """Return the products of a folder of DAG files and of the configured further folders.

    :param errors: takes a line for each that cannot be used.
    :raises ConfigurationError: if it has none, or no DAG file; the message says how to come by one.
    """
    products, reference = discovery.products(discovery.product_folders(dags), errors), discovery.reference_dags()
    if not products and errors:
        raise ConfigurationError("; ".join(errors))
    if not products:
        raise ConfigurationError(
            f"no product in {dags}: a product is a folder in it, such as rain_tomorrow, with a product.py that "
            f"declares `product = MLProduct(name='rain_tomorrow', …)`; {reference / PRODUCT} is one to copy from. "
            "Products elsewhere are found by AIRFLOW__MLOPS__PRODUCTS_FOLDERS"
        )
    own = {dags / product.name for product in products}
    if not any(own.isdisjoint(file.parents) for file in dags.rglob("*.py")):
        names = ", ".join(product.name for product in products)
        raise ConfigurationError(
            f"{dags} has the product {names} but no DAG files, so nothing would run: copy {reference}/*.py into it"
        )
    return products


def check_ports(products: Sequence[MLProduct], serving_port: int | None) -> None:
    """Refuse two products at one port. :raises ConfigurationError: naming them and what to change."""
    ports = {product.name: serving_port or product.serving.port for product in products}
    for port, count in Counter(ports.values()).items():
        if count > 1:
            names = ", ".join(name for name, own in ports.items() if own == port)
            change = "leave out --serving-port" if serving_port else "give each `serving=Serving(port=…)` of its own"
            raise ConfigurationError(f"the model servers of {names} would share port {port}: {change}")


def deliver_first(products: Sequence[MLProduct], landing: Path) -> list[str]:
    """Deliver the reference product's first months where nothing has been delivered, and say what comes next."""
    if landing.exists():
        return []
    landing.mkdir(parents=True)
    lines = []
    for product in products:
        if product.name == PRODUCT:
            for interval in discovery.intervals(product, MONTHS):
                load(f"{PRODUCT}.replay:deliver")(landing, interval)
            lines.append(f"{product.name}: delivered {MONTHS} months to {landing}; the loop begins by itself")
        else:
            lines.append(f"{product.name}: {discovery.first_steps(product, str(landing))}")
    return lines


def serve(product: MLProduct, home: Path, env: Mapping[str, str], port: int | None) -> None:
    """Start a product's model server again; it loads the version that was live."""
    from airflow_mlops_provider.backends.model_server.launcher import ensure_running
    from airflow_mlops_provider.jobs.deployment.rollout import serving_code

    log = home / "logs" / f"model-server-{product.name}.log"
    folder = str(source_file(f"{product.name}.product").parent.parent)
    paths = {**env, "PYTHONPATH": os.pathsep.join(filter(None, [folder, env.get("PYTHONPATH")]))}
    root, code = str((home / demo_home.ARTIFACTS).resolve()), serving_code(product.scoring)
    ensure_running(product.name, root, product.serving.host, port or product.serving.port, log, paths, code=code)


def addresses(stack: Stack, products: Sequence[MLProduct], mlflow_port: int, serving_port: int | None) -> Table:
    """Return where everything is found."""
    table = Table.grid(padding=(0, 2))
    table.add_row("Airflow", stack.api.url, f"user {USER}, password {password(stack.home)}")
    for person in demo_home.people(products):
        table.add_row("who is asked", person, f"password {password(stack.home, person)}; look under Required Actions")
    table.add_row("MLOps page", f"{stack.api.url}/mlops/", "every product, once its first job has ended")
    table.add_row("MLflow", f"http://127.0.0.1:{mlflow_port}")
    for product in products:
        where = f"http://{product.serving.host}:{serving_port or product.serving.port}"
        table.add_row("model server", where, f"{product.name}, once a version is live")
    table.add_row("deliveries", str(stack.home / demo_home.LANDING), "as `path` of each product's sources says")
    table.add_row("commands", f"AIRFLOW_HOME={stack.home}", "airflow mlops products, versions, lineage, …")
    table.add_row("stop with", "airflow mlops down", f"--home {stack.home}")
    return table
