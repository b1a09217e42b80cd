"""Where a model server runs: what cannot work is refused when it is declared, and says what would."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_mlops_provider.lifecycle.serving.pods import SecretKey
from airflow_mlops_provider.lifecycle.serving.target import KubernetesDeployment, Serving

IMAGE = f"registry.example/shop@sha256:{'a' * 64}"
TOKEN = {"MLOPS_SERVING_TOKEN": SecretKey(name="serving", key="token")}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"target": "sagemaker"}, "unknown kind of model server 'sagemaker'; known: kubernetes, local, url"),
        ({"target": "url", "grpc_port": 8901}, "grpc_port is for a server that is started on this machine"),
        (
            {"target": {"image": IMAGE, "no_token": True}, "grpc_port": 8901},
            "grpc_port is for a server that is started",
        ),
        ({"target": "kubernetes"}, "needs an image: target=KubernetesDeployment"),
        ({"target": {"image": "shop:1.0", "no_token": True}}, "imagetools inspect shop:1.0` prints it"),
        ({"target": {"image": f"shop@sha256:{'a' * 63}", "no_token": True}}, "must be named by its digest"),
        ({"target": {"image": IMAGE}}, "no_token=True says that there is none: give one of them"),
        ({"target": {"image": IMAGE, "secrets": TOKEN, "no_token": True}}, "give one of them"),
        ({"target": {"image": IMAGE, "no_token": True, "env": {"DB_PASSWORD": "hunter2"}}}, "env must not hold"),
        ({"target": {"image": IMAGE, "no_token": True, "gpus": 1}}, "KubernetesDeployment has no field 'gpus'; known:"),
        ({"target": {"image": IMAGE, "no_token": True, "replicas": 0}}, "replicas"),
        ({"target": {"image": IMAGE, "no_token": True, "name": "Shop_1"}}, "name"),
        ({"target": "local", "options": {"a": 1}}, "'local' takes none"),
        ({"options": {"a": 1}}, "options are for another's kind of model server"),
    ],
)
def test_refused(fields: dict[str, Any], said: str) -> None:
    """The message names what is wrong, and what fits; a secret's value is not repeated."""
    with pytest.raises(ValueError, match="validation error") as refused:
        Serving(**fields)
    assert said in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_which_kind_and_where() -> None:
    """By itself it is a process, or where the connection says; what is declared counts more."""
    cluster = Serving(target=KubernetesDeployment(image=IMAGE, secrets=TOKEN, namespace="ml"))
    assert Serving.model_validate(cluster.to_json()) == cluster
    assert [one.kind(None) for one in (Serving(), cluster, Serving(target="mine:Server"))] == [
        "local", "kubernetes", "mine:Server",
    ]  # fmt: skip
    assert [one.kind("http://a") for one in (Serving(), Serving(target="local"), cluster)] == [
        "url", "local", "kubernetes",
    ]  # fmt: skip
    assert Serving(host="::1").address("shop") == "http://[::1]:8900"
    assert Serving().address("shop", None, 1234) == "http://127.0.0.1:1234"
    assert Serving().address("shop", "https://shop.example") == "https://shop.example"
    assert Serving(target="local").address("shop", "https://shop.example") == "http://127.0.0.1:8900"
    assert cluster.address("big_shop") == "http://mlops-big-shop.ml.svc:80"
    assert cluster.address("big_shop", "https://shop.example") == "https://shop.example"
