"""``python -m airflow_mlops_provider.serving``: one product's model server."""

from __future__ import annotations

import argparse
import ipaddress
import json
import logging
import os
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from airflow_mlops_provider.backends.extras import install_line
from airflow_mlops_provider.backends.model_server.client import TOKEN_VARIABLE
from airflow_mlops_provider.backends.model_server.launcher import log_folder, product_folder
from airflow_mlops_provider.backends.telemetry import disable_telemetry
from airflow_mlops_provider.lifecycle.shape import Scoring
from airflow_mlops_provider.runtime.code import load_product
from airflow_mlops_provider.runtime.process.scratch import own_folder
from airflow_mlops_provider.serving.app import create_app
from airflow_mlops_provider.serving.listener import Server, bind_socket, uvicorn_config
from airflow_mlops_provider.serving.model_alone import ModelAlone, NoFeatures, Served
from airflow_mlops_provider.serving.prediction_service import FeatureStore
from airflow_mlops_provider.serving.server import ModelServer
from airflow_mlops_provider.serving.workers.place import Place
from airflow_mlops_provider.serving.workers.supervisor import PATIENCE, STARTUP_FAILED, Supervisor

TAKEOVER_SECONDS = 100.0
#: How long a thread may keep the interpreter while the one that reads and sends waits for it: Python's is 5 ms.
SWITCH_SECONDS = 0.002
CALLERS_VARIABLE = "MLOPS_SERVING_CALLERS"
log = logging.getLogger(__name__)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    command = argparse.ArgumentParser(
        prog="python -m airflow_mlops_provider.serving",
        description="Serve one product's live model over REST and follow its release pointer.",
        epilog=f"With {TOKEN_VARIABLE} set or --callers given, all but /health and /ready require a bearer token. "
        "Products are found on PYTHONPATH.",
    )
    command.add_argument("--product", required=True, help="the product's name, which is also its package")
    command.add_argument("--root", required=True, help="the artifact root: a folder, file:///… or s3://bucket/prefix")
    command.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s: this machine only)")
    command.add_argument("--port", type=int, default=8900, help="port to listen on (%(default)s)")
    command.add_argument(
        "--online-store", type=_settings, default={"type": "sqlite"}, metavar="JSON",
        help='Feast online store settings ({"type": "sqlite"})',
    )  # fmt: skip
    command.add_argument("--feature-store", type=Path, help="the feature store's folder (ROOT/PRODUCT/feast)")
    command.add_argument("--prediction-log", type=Path, help="folder for predictions (ROOT/PRODUCT/predictions/rest)")
    command.add_argument("--poll", type=float, default=1.0, help="seconds between looks at the pointer (%(default)s)")
    command.add_argument("--scoring", help="JSON: how calls of a model are scored that belongs to no product's package")
    command.add_argument("--code", default="", help="fingerprint of the product's code, for who looks for the process")
    command.add_argument(
        "--takeover", action="store_true", help="share the port with a server that ends when this one can predict"
    )
    command.add_argument(
        "--no-token", action="store_true", help=f"listen to other machines, though no {TOKEN_VARIABLE} is set"
    )
    command.add_argument(
        "--callers", type=Path, default=os.environ.get(CALLERS_VARIABLE) or None, metavar="FILE",
        help=f"callers with rights and hashes of their tokens, read again when it changes (${CALLERS_VARIABLE}); "
        "python -m airflow_mlops_provider.serving.access makes them",
    )  # fmt: skip
    command.add_argument("--tls-certificate", type=Path, metavar="PEM", help="speak HTTPS with this certificate")
    command.add_argument("--tls-key", type=Path, metavar="PEM", help="its key, where that lies apart")
    command.add_argument("--workers", type=_count, default=1, metavar="N", help="processes that answer (%(default)s)")
    command.add_argument(
        "--worker-timeout", type=_count, default=PATIENCE, metavar="SECONDS",
        help="a worker that is silent for longer is killed, and another is started (%(default)s)",
    )  # fmt: skip
    command.add_argument("--worker", type=Place.read, help=argparse.SUPPRESS)
    command.add_argument("--grpc-port", type=int, help="also speak the Open Inference Protocol over gRPC, at this port")
    command.add_argument("--open-metrics", action="store_true", help="let /metrics be read without the token")
    return command


def build(arguments: argparse.Namespace) -> ModelServer:
    """Return the server that the command line describes, not yet started."""
    given = Scoring.model_validate_json(arguments.scoring) if arguments.scoring else None
    product: Served = ModelAlone(scoring=given) if given else load_product(arguments.product)
    folder = product_folder(arguments.root, product.name)
    features = arguments.feature_store or folder / "feast"

    def open_features() -> FeatureStore:
        if not product.scoring.views:
            return NoFeatures()
        from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend

        return FeatureStoreBackend(product.scoring, features, arguments.online_store)

    predictions = arguments.prediction_log or log_folder(arguments.root, product.name)
    ready_within = TAKEOVER_SECONDS if arguments.takeover else None
    return ModelServer(product, arguments.root, open_features, predictions, arguments.poll, ready_within=ready_within)


def main(arguments: list[str] | None = None) -> None:
    """Serve until a signal ends it."""
    command = parser()
    options = command.parse_args(arguments)
    if not (os.environ.get(TOKEN_VARIABLE) or options.callers or options.no_token or _is_this_machine(options.host)):
        command.error(
            f"at {options.host} others can reach the server: set {TOKEN_VARIABLE} to a token that callers must send, "
            "name a file of callers with --callers, or give --no-token"
        )
    if options.grpc_port and find_spec("grpc") is None:
        command.error(f"grpcio is not installed; run: {install_line('grpcio')}")
    disable_telemetry()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with own_folder() as folder:
        if options.workers > 1 and not options.worker:
            log.info(
                "%s is served at %s:%d, by %d workers", options.product, options.host, options.port, options.workers
            )
            bound, line = bind_socket(options.host, options.port), sys.argv[1:] if arguments is None else arguments
            if options.grpc_port:  # each worker listens there itself: what another has is said now, and kept for them
                bind_socket(options.host, options.grpc_port).detach()
            sys.exit(Supervisor(line, options.workers, bound, folder, options.worker_timeout).run())
        if not _serve(options):
            sys.exit(STARTUP_FAILED)


def _serve(options: argparse.Namespace) -> bool:
    """Serve in this process until a signal ends it; False if it could not start."""
    place: Place | None = options.worker
    tls = options.tls_certificate, options.tls_key
    grpc = (options.host, options.grpc_port, *tls) if options.grpc_port else None
    given = {"open_metrics": options.open_metrics, "callers_file": options.callers, "place": place, "grpc": grpc}
    app = create_app(build(options), **given)
    sys.setswitchinterval(SWITCH_SECONDS)
    server = Server(uvicorn_config(app, options.host, options.port, *tls), shared=place is not None)
    log.info("%s is served at %s:%d", options.product, options.host, options.port)
    server.run(sockets=[socket.socket(fileno=place.listening) if place else bind_socket(options.host, options.port)])
    return server.started


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"must be at least 1, not {text}")
    return int(text)


def _settings(text: str) -> dict[str, Any]:
    try:
        settings = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"no JSON: {error}") from None
    if not isinstance(settings, dict) or "type" not in settings:
        raise argparse.ArgumentTypeError('must be an object with a "type", such as {"type": "sqlite"}')
    return settings


if __name__ == "__main__":
    main()
