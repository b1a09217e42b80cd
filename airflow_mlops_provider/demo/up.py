"""``airflow mlops up``: a local Airflow with MLflow on any folder of DAG files, left running."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from airflow_mlops_provider import discovery as reach
from airflow_mlops_provider.demo import processes
from airflow_mlops_provider.demo import replay as demo
from airflow_mlops_provider.demo.settings import CONFIG, PASSWORDS, USER, password
from airflow_mlops_provider.demo.stack import Stack, StackConfig
from airflow_mlops_provider.discovery import intervals
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.render import terminal
from airflow_mlops_provider.runtime.code import load, source_file
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
    broken: list[str] = []
    console, products = terminal.console(), found(dags, broken)
    for line in broken:
        console.print(f"{line}; without it", markup=False)
    check_home(home)
    check_ports(products, serving_port)
    environment = {
        **demo.environment(home, serving_port),
        "AIRFLOW__MLOPS__PRODUCTS_FOLDERS": ",".join(map(str, reach.further())),
    }
    stack = Stack(StackConfig(home=home, dags=dags, api_port=port, env=environment))
    processes.check_port(mlflow_port)
    if [product.name for product in products] == [demo.PRODUCT] and not any(home.glob("*")):
        demo.make_anew(home)
    stack.start(lambda line: console.print(f"[dim]{line}[/]"))
    demo.prepare_mlflow(home)
    processes.start("mlflow", mlflow_command(home, mlflow_port), stack.env, stack.log("mlflow"), stack.home)
    for product in products:
        if Ledger(FolderStore(home / demo.ARTIFACTS), product.name).live():
            serve(product, home, stack.env, serving_port)
    for line in delivered(products, home / demo.LANDING):
        console.print(line, markup=False)
    stack.detach()
    console.print(addresses(stack, products, mlflow_port, serving_port))


def found(dags: Path, broken: list[str]) -> list[MLProduct]:
    """Return the products of a folder of DAG files.

    :param broken: takes a line for each that can't be used.
    :raises ConfigurationError: if it has none, or no DAG file; the message says how to come by one.
    """
    products, reference = reach.products(dags, broken), reach.reference_dags()
    if not products and broken:
        raise ConfigurationError("; ".join(broken))
    if not products:
        raise ConfigurationError(
            f"no product lies in {dags}: a product is a folder in it, such as rain_tomorrow, with a product.py that "
            f"declares `product = MLProduct(name='rain_tomorrow', …)`; {reference / demo.PRODUCT} is one to copy from. "
            "Products that lie elsewhere are found by AIRFLOW__MLOPS__PRODUCTS_FOLDERS"
        )
    own = {dags / product.name for product in products}
    if not any(own.isdisjoint(file.parents) for file in dags.rglob("*.py")):
        names = ", ".join(product.name for product in products)
        raise ConfigurationError(
            f"{dags} has the product {names} but no DAG files, so nothing would run: copy {reference}/*.py into it"
        )
    return products


def check_home(home: Path) -> None:
    """Refuse a folder whose files are not those of a local Airflow of ours: its ``airflow.cfg`` would be replaced.

    :raises ConfigurationError: if it is one, or no folder at all.
    """
    if home.exists() and not home.is_dir():
        raise ConfigurationError(f"{home} is no folder; name another one with --home")
    ours = any((home / name).exists() for name in (demo.MARK, PASSWORDS))
    # The airflow command itself leaves these in its home as soon as it is called.
    theirs = {file.name for file in home.glob("*")} - {CONFIG, "logs"}
    if theirs and not ours:
        raise ConfigurationError(
            f"{home} is not empty and `airflow mlops` has not made it, so it is left as it is; name a new folder with "
            "--home"
        )


def check_ports(products: Sequence[MLProduct], serving_port: int | None) -> None:
    """Refuse two products at one port. :raises ConfigurationError: naming them and what to change."""
    ports = Counter(serving_port or product.serving.port for product in products)
    for port, count in ports.items():
        if count > 1:
            names = ", ".join(one.name for one in products if (serving_port or one.serving.port) == port)
            change = "leave out --serving-port" if serving_port else "give each `serving=Serving(port=…)` of its own"
            raise ConfigurationError(f"the model servers of {names} would share port {port}: {change}")


def delivered(products: Sequence[MLProduct], landing: Path) -> list[str]:
    """Deliver the reference product's first months where nothing has been delivered, and say what comes next."""
    new, lines = not landing.exists(), []
    landing.mkdir(parents=True, exist_ok=True)
    for product in products:
        if product.name == demo.PRODUCT and new:
            for interval in intervals(product, demo.MONTHS):
                load(f"{demo.PRODUCT}.replay:deliver")(landing, interval)
            lines.append(f"{product.name}: delivered {demo.MONTHS} months to {landing}; the loop begins by itself")
        elif new:
            lines.append(f"{product.name}: {reach.first_steps(product, str(landing))}")
    return lines


def serve(product: MLProduct, home: Path, env: Mapping[str, str], port: int | None) -> None:
    """Start a product's model server again; it loads the version that was live."""
    from airflow_mlops_provider.jobs.deployment.deploy import serving_code
    from airflow_mlops_provider.serving.process.launcher import ensure_running

    log = home / "logs" / f"model-server-{product.name}.log"
    folder = str(source_file(f"{product.name}.product").parent.parent)
    paths = {**env, "PYTHONPATH": os.pathsep.join(filter(None, [folder, env.get("PYTHONPATH")]))}
    root, code = str((home / demo.ARTIFACTS).resolve()), serving_code(product.scoring)
    ensure_running(product.name, root, product.serving.host, port or product.serving.port, log, paths, code=code)


def mlflow_command(home: Path, port: int) -> list[str]:
    """Return the command that serves MLflow's pages over a home's records."""
    backend = f"sqlite:///{(home / demo.ARTIFACTS).resolve()}/mlflow.db"
    options = ["--backend-store-uri", backend, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    return [sys.executable, "-m", "mlflow", "server", *options]


def addresses(stack: Stack, products: Sequence[MLProduct], mlflow_port: int, serving_port: int | None) -> Table:
    """Return where everything is found."""
    table = Table.grid(padding=(0, 2))
    table.add_row("Airflow", stack.config.url, f"user {USER}, password {password(stack.home)}")
    table.add_row("MLOps page", f"{stack.config.url}/mlops/", "every product, once its first job has ended")
    table.add_row("MLflow", f"http://127.0.0.1:{mlflow_port}")
    for product in products:
        where = f"http://{product.serving.host}:{serving_port or product.serving.port}"
        table.add_row("model server", where, f"{product.name}, once a version is live")
    table.add_row("deliveries", str(stack.home / demo.LANDING), "as `path` of each product's sources says")
    table.add_row("commands", f"AIRFLOW_HOME={stack.home}", "airflow mlops products, versions, lineage, …")
    table.add_row("stop with", "airflow mlops down", f"--home {stack.config.home}")
    return table
