"""A product that is served by pods of the cluster of a test, which are real servers, and is deployed as any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from airflow_mlops_provider.backends.model_server.client import server_state, url_of
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.lifecycle.sections import Serving
from airflow_mlops_provider.lifecycle.serving.pods import SecretKey, Volume
from airflow_mlops_provider.lifecycle.serving.target import KUBECONFIG_VARIABLE, TOKEN_VARIABLE, KubernetesDeployment
from tests.factories.deploy import REPOSITORY, DeployWorld
from tests.factories.kube.world import KubeWorld

ROLE = REPOSITORY / "helm" / "deployer.yaml"
TOKEN = "the-token-of-the-servers"
SERVER = "mlops-tiny-shop"


def image(letter: str = "a") -> str:
    """Return an image by digest."""
    return f"registry.example/tiny@sha256:{letter * 64}"


class PodsWorld(DeployWorld):
    """Deploys to two pods.

    :ivar target: what the next jobs are told.
    :ivar environment: what they need to be told in theirs.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, 0)
        (folder / "kube").mkdir()
        path = f"{REPOSITORY}:{self.code}"
        self.kube = KubeWorld(folder / "kube", {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"})
        self.kube.secrets["serving", "token"] = TOKEN
        self.kube.objects.rules = next(
            one["rules"] for one in yaml.safe_load_all(ROLE.read_text()) if one["kind"] == "Role"
        )
        self.environment = {KUBECONFIG_VARIABLE: json.dumps(self.kube.config), TOKEN_VARIABLE: TOKEN}
        root = str(self.root)
        self.target = KubernetesDeployment(
            image=image(),
            replicas=2,
            secrets={TOKEN_VARIABLE: SecretKey(name="serving", key="token")},
            volumes=(Volume(path=root, host_path=root),),
            rollout_seconds=90,
        )

    def spec(self, job: str, who: str = "one", **params: Any) -> JobSpec:
        """Return what asks for a deployment to the cluster."""
        spec = super().spec(job, who, **params)
        serving = Serving(target=self.target, port=8900).to_json()
        return spec.model_copy(update={"settings": {**spec.settings, "serving": serving}, "params": params_of(spec)})

    def served(self) -> dict[str, int | None]:
        """Return which version each pod answers with."""
        pods = {life.name: life.pod["status"].get("podIP") for life in self.kube.objects.pods(SERVER)}
        states = {name: server_state(url_of(ip, 8900), TOKEN) if ip else None for name, ip in pods.items()}
        return {name: state.version if state else None for name, state in states.items()}

    def truths(self) -> dict[str, Any]:
        """Return which version each calls the live one; of pods that are not of one mind all that they say."""
        versions = set(self.served().values())
        return {**super().truths(), "server": versions.pop() if len(versions) == 1 else tuple(versions) or None}

    def images(self) -> set[str]:
        """Return which images the pods run."""
        return {life.pod["spec"]["containers"][0]["image"] for life in self.kube.objects.pods(SERVER)}

    def close(self) -> None:
        """End what runs."""
        super().close()
        self.kube.close()


def params_of(spec: JobSpec) -> dict[str, Any]:
    """Return a job's parameters without the port of a server on this machine."""
    return {name: value for name, value in spec.params.items() if name != "port"}
