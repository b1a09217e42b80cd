"""The model server's chart: linted and rendered by Helm itself, and checked against Kubernetes' own schemas."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_mlops_provider import __version__
from airflow_mlops_provider.backends.model_server.client import TOKEN_VARIABLE
from airflow_mlops_provider.serving.__main__ import parser

helm = pytest.importorskip("helm_python", reason="Helm comes with the dev extra: pip install -e '.[dev]'")
kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="needs the dev extra: pip install -e '.[dev]'")

CHART = Path(__file__).parents[3] / "helm" / "mlops-model-server"
OLDEST = "1.25"  # what Chart.yaml asks for
EVERYTHING = {
    "product": "rain_tomorrow",
    "root": "s3://models/prod",
    "image": {"repository": "registry.example/ours", "digest": f"sha256:{'a' * 64}"},
    "imagePullSecrets": ["puller"],
    "volume": {"existingClaim": "shared", "mountPath": "/var/lib/mlops"},
    "onlineStore": {"type": "redis", "connection_string": "redis.mlops:6379"},
    "tokenSecret": {"name": "serving", "key": "bearer"},
    "credentialsSecret": "bucket",
    "env": {"AWS_ENDPOINT_URL": "https://minio.mlops:9000", "RETRIES": 3},
    "autoscaling": {"enabled": True},
    "callersSecret": {"name": "callers", "key": "list"},
    "tlsSecret": "certificate",
    "networkPolicy": {"from": [{"namespaceSelector": {"matchLabels": {"team": "ops"}}}]},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/models"}},
    "podAnnotations": {"note": "kept"},
    "nodeSelector": {"pool": "serving"},
    "tolerations": [{"key": "serving", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
}

Manifests = dict[str, dict[str, Any]]
Render = Callable[..., Manifests]


@pytest.fixture(scope="module")
def render() -> Render:
    """Return a function that renders the chart with some values, and gives its objects by kind."""

    def made(**values: Any) -> Manifests:
        with helm.Chart.load(str(CHART)) as chart:
            chart.validate_schema(chart.merge_values(values))
            rendered = chart.render(values, name="live", namespace="mlops")
        texts = {name: text for name, text in rendered.items() if not name.endswith("NOTES.txt")}
        objects = [found for text in texts.values() for found in yaml.safe_load_all(text) if found]
        assert len({found["kind"] for found in objects}) == len(objects)
        return {found["kind"]: found for found in objects}

    return made


def pod(manifests: Manifests) -> dict[str, Any]:
    """The Deployment's pod specification."""
    spec: dict[str, Any] = manifests["Deployment"]["spec"]["template"]["spec"]
    return spec


def environment(manifests: Manifests) -> dict[str, Any]:
    """The container's environment variables: a value, or where it is to be taken from."""
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in pod(manifests)["containers"][0]["env"]}


def test_helm_finds_nothing_to_say() -> None:
    """``helm lint --strict`` has neither errors nor warnings, with the defaults and with everything turned on."""
    for values in ({}, EVERYTHING):
        report = helm.lint(str(CHART), values, strict=True)
        assert report["total_charts_linted"] == 1
        assert [found for found in report["messages"] if found["severity"] >= 2] == []
        assert not report["errors"]


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
def test_kubernetes_takes_every_object(render: Render, values: dict[str, Any], version: str) -> None:
    """Each object holds to Kubernetes' strict schema, in the oldest version that the chart allows and in the newest."""
    for kind, manifest in render(**values).items():
        if kind != "ServiceMonitor":  # the Prometheus operator's, unknown to Kubernetes
            kubernetes_validate.validate(manifest, version, strict=True)


def test_what_is_optional_is_off(render: Render) -> None:
    """By default there are the server and what keeps others from it; two more objects only on request."""
    always = {"Deployment", "Service", "ServiceAccount", "NetworkPolicy", "PodDisruptionBudget"}
    assert set(render()) == always
    assert set(render(**EVERYTHING)) == always | {"HorizontalPodAutoscaler", "ServiceMonitor"}
    assert "replicas" not in render(**EVERYTHING)["Deployment"]["spec"]  # or each upgrade would undo the autoscaler


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_the_server_understands_its_arguments(render: Render, values: dict[str, Any]) -> None:
    """The real command line parses what the pod is given, and listens where probes and Service reach it."""
    manifests = render(**values)
    (container,) = pod(manifests)["containers"]
    assert container["args"][:3] == ["python", "-m", "airflow_mlops_provider.serving"]
    given = parser().parse_args(container["args"][3:])
    (port,) = container["ports"]
    assert given.host == "0.0.0.0"
    assert given.port == port["containerPort"]
    assert manifests["Service"]["spec"]["ports"][0]["targetPort"] == port["name"]
    assert given.product == values.get("product", "flight_delay")
    assert given.root == values.get("root", "file:///mlops")
    assert given.online_store == values.get("onlineStore", {"type": "sqlite"})
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    for folder in (given.feature_store, given.prediction_log):
        assert any(folder.is_relative_to(mount) for mount in mounts - {"/tmp"})


def test_service_and_policy_choose_the_pods(render: Render) -> None:
    """Whatever selects pods selects those of the Deployment."""
    manifests = render(**EVERYTHING)
    labels = manifests["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    selectors = [
        manifests["Service"]["spec"]["selector"],
        manifests["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        manifests["Deployment"]["spec"]["selector"]["matchLabels"],
    ]
    assert all(selector and selector.items() <= labels for selector in selectors)
    monitored = manifests["ServiceMonitor"]["spec"]["selector"]["matchLabels"]
    assert monitored.items() <= manifests["Service"]["metadata"]["labels"].items()
    assert (
        manifests["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"]
        == manifests["Deployment"]["metadata"]["name"]
    )


def test_the_pod_has_no_more_rights_than_it_needs(render: Render) -> None:
    """Not root, nothing to gain, a file system to read only, no token of the cluster; and probes on both addresses."""
    spec = pod(render())
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    user = f"USER {spec['securityContext']['runAsUser']}:{spec['securityContext']['runAsGroup']}\n"
    assert user in (CHART.parents[1] / "docker" / "Dockerfile").read_text("utf-8")
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}} in spec["volumes"]
    probed = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert probed == {"startupProbe": "/health", "livenessProbe": "/health", "readinessProbe": "/ready"}
    assert container["resources"]["requests"]
    assert container["resources"]["limits"]["memory"]


def test_secrets_are_only_referred_to(render: Render) -> None:
    """The token comes from a Secret under the name that the server reads; a plain value is refused."""
    assert environment(render())[TOKEN_VARIABLE] == {"secretKeyRef": {"name": "mlops-model-server", "key": "token"}}
    assert "envFrom" not in pod(render())["containers"][0]
    manifests = render(**EVERYTHING)
    assert environment(manifests)[TOKEN_VARIABLE] == {"secretKeyRef": {"name": "serving", "key": "bearer"}}
    assert pod(manifests)["containers"][0]["envFrom"] == [{"secretRef": {"name": "bucket"}}]
    with pytest.raises(helm.HelmError, match=TOKEN_VARIABLE):
        render(env={TOKEN_VARIABLE: "open for all to read"})


def test_without_a_token_only_where_that_is_said(render: Render) -> None:
    """No Secret and no word for it is an error that names both; with the word, the server is told so, too."""
    with pytest.raises(helm.HelmError, match=r"name a Secret with the server's token, or set noToken: true"):
        render(tokenSecret={"name": ""})
    manifests = render(tokenSecret={"name": ""}, noToken=True, serviceMonitor={"enabled": True})
    assert TOKEN_VARIABLE not in environment(manifests)
    assert parser().parse_args(pod(manifests)["containers"][0]["args"][3:]).no_token
    assert "authorization" not in manifests["ServiceMonitor"]["spec"]["endpoints"][0]
    assert not parser().parse_args(pod(render(noToken=True))["containers"][0]["args"][3:]).no_token


def test_prometheus_sends_the_token_or_is_let_in(render: Render) -> None:
    """The monitor has the server's own Secret; where metrics are open, the server is told so."""
    (endpoint,) = render(**EVERYTHING)["ServiceMonitor"]["spec"]["endpoints"]
    assert endpoint["authorization"] == {"type": "Bearer", "credentials": {"name": "serving", "key": "bearer"}}
    given = [parser().parse_args(pod(render(openMetrics=said))["containers"][0]["args"][3:]) for said in (False, True)]
    assert [one.open_metrics for one in given] == [False, True]


def test_callers_and_certificate_come_from_secrets(render: Render) -> None:
    """Mounted as folders, which follow a change, and given to the server; with callers no one token is needed."""
    manifests = render(**EVERYTHING)
    (container,) = pod(manifests)["containers"]
    given = parser().parse_args(container["args"][3:])
    secrets = {
        volume["name"]: volume["secret"]["secretName"] for volume in pod(manifests)["volumes"] if "secret" in volume
    }
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    for file, secret in (
        (given.callers, "callers"),
        (given.tls_certificate, "certificate"),
        (given.tls_key, "certificate"),
    ):
        mount = mounts[str(file.parent)]
        assert secrets[mount["name"]] == secret
        assert "subPath" not in mount
    assert given.callers.name == "list"
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["scheme"] == "HTTPS"
    (endpoint,) = manifests["ServiceMonitor"]["spec"]["endpoints"]
    assert (endpoint["scheme"], endpoint["tlsConfig"]["serverName"]) == ("https", "live-rain-tomorrow.mlops.svc")
    alone = pod(render(tokenSecret={"name": ""}, callersSecret={"name": "callers"}))["containers"][0]
    assert "--no-token" not in alone["args"]
    assert "--callers=/etc/mlops/callers/callers" in alone["args"]


def test_a_drained_node_moves_a_single_replica(render: Render) -> None:
    """A budget that no drain can meet would hold the node for ever, so that one is refused."""
    assert render()["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    assert (
        render(podDisruptionBudget={"maxUnavailable": "25%"})["PodDisruptionBudget"]["spec"]["maxUnavailable"] == "25%"
    )
    for wrong in (0, "0%", "all"):
        with pytest.raises(helm.HelmError, match="maxUnavailable"):
            render(podDisruptionBudget={"maxUnavailable": wrong})


def test_the_network_policy_lets_nobody_in_by_itself(render: Render) -> None:
    """By default, and by an empty list of peers: in Kubernetes' own notation that would open the door to all."""
    assert render()["NetworkPolicy"]["spec"]["ingress"] == []
    assert render(networkPolicy={"from": []})["NetworkPolicy"]["spec"]["ingress"] == []
    assert "NetworkPolicy" not in render(networkPolicy={"enabled": False})
    (rule,) = render(**EVERYTHING)["NetworkPolicy"]["spec"]["ingress"]
    assert rule["from"] == EVERYTHING["networkPolicy"]["from"]  # type: ignore[index]


def test_a_digest_decides_the_image(render: Render) -> None:
    """With a digest the image is what it names; without one the tag, by default the provider's own version."""
    assert pod(render(**EVERYTHING))["containers"][0]["image"] == f"registry.example/ours@sha256:{'a' * 64}"
    assert pod(render())["containers"][0]["image"] == f"airflow-mlops:{__version__}"


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"product": "no-package"}, "product"),
        ({"root": "/mlops"}, "root"),
        ({"volume": {"existingClaim": ""}}, "existingClaim"),
        ({"image": {"digest": "latest"}}, "digest"),
        ({"replica": 3}, "replica"),
        ({"onlineStore": {"type": ""}}, "onlineStore"),
    ],
)
def test_a_wrong_value_is_named(render: Render, values: dict[str, Any], named: str) -> None:
    """The schema refuses a value that could not work, and says which one."""
    with pytest.raises(helm.HelmError, match=named):
        render(**values)


def test_every_value_is_in_the_schema_and_used() -> None:
    """No default is unknown to the schema, and none is left that no template reads."""
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    assert set(values) == set(schema["properties"]) - {"global"}
    templates = "".join(path.read_text("utf-8") for path in (CHART / "templates").iterdir())
    assert [name for name in values if f".Values.{name}" not in templates] == []
