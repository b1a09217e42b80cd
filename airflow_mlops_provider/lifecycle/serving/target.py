"""Where a product's model server runs: on this machine, on a Kubernetes cluster, or where others keep one."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from airflow_mlops_provider.extensions import MODEL_SERVERS
from airflow_mlops_provider.lifecycle.frozen import Params, Strict
from airflow_mlops_provider.lifecycle.placed import Placed
from airflow_mlops_provider.lifecycle.serving.pods import (
    Cpu,
    Dns,
    Key,
    Memory,
    Path,
    SecretKey,
    Toleration,
    Variable,
    Volume,
    check_environment,
)

TOKEN_VARIABLE = "MLOPS_SERVING_TOKEN"  # noqa: S105 - the variable's name, not a token
#: A kubeconfig's content, for a job that is not in the cluster, or not as an account that may deploy there.
KUBECONFIG_VARIABLE = "MLOPS_KUBECONFIG"
KUBERNETES, LOCAL, URL = "kubernetes", "local", "url"
_BY_DIGEST = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}")


def _by_digest(image: str) -> str:
    if not _BY_DIGEST.fullmatch(image):
        bare = image.partition("@")[0]
        raise ValueError(
            f"image {image!r} must be named by its digest, as repository@sha256:…, since a tag may be moved; "
            f"`skopeo inspect --format '{{{{.Digest}}}}' docker://{bare}` or `docker buildx imagetools inspect "
            f"{bare}` prints it, and so does the push that made it"
        )
    return image


ImageByDigest = Annotated[str, AfterValidator(_by_digest)]


class KubernetesDeployment(Strict):
    """A model server of its own on a Kubernetes cluster: a Deployment and a Service, which deployments apply.

    It outlives the job that applied it. A new image rolls pod by pod: one goes when another can predict.

    :param image: with this package and the product's code, by digest: ``repository@sha256:…``.
    :param replicas: how many pods; None where an autoscaler says it.
    :param name: of both objects; by default ``mlops-`` and the product's name.
    :param namespace: by default the one in which the job runs, or which its kubeconfig names.
    :param port: that the Service listens on; pods listen on the section's ``port``.
    :param cpu, memory: requested; memory is also the limit.
    :param volumes: what the container mounts; a folder as artifact root is to be among them.
    :param state: the folder of feature registry and prediction log; None: as on this machine, below the artifact root.
    :param secrets: environment variables by reference into Kubernetes secrets; ``MLOPS_SERVING_TOKEN`` among them.
    :param no_token: whoever reaches the Service may predict, and read versions and metrics.
    :param env: further environment variables, none of them a credential.
    :param rollout_seconds: how long it may take until every pod can predict, before the former image comes back.
    """

    image: ImageByDigest
    replicas: int | None = Field(default=1, ge=1)
    name: Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$")] | None = None
    namespace: Dns | None = None
    port: int = Field(default=80, ge=1, le=65535)
    cpu: Cpu = "250m"
    memory: Memory = "2Gi"
    volumes: tuple[Volume, ...] = ()
    state: Path | None = None
    secrets: dict[Variable, SecretKey] = {}
    no_token: bool = False
    env: dict[Variable, str] = {}
    service_account: Dns | None = None
    image_pull_secrets: tuple[Dns, ...] = ()
    node_selector: dict[Key, str] = {}
    tolerations: tuple[Toleration, ...] = ()
    rollout_seconds: int = Field(default=600, gt=0)

    @model_validator(mode="after")
    def _fits_together(self) -> KubernetesDeployment:
        check_environment(self.env, self.secrets)
        if (TOKEN_VARIABLE in self.secrets) == self.no_token:
            raise ValueError(
                f"secrets={{{TOKEN_VARIABLE!r}: SecretKey(name=…, key=…)}} names the token that callers must send, and "
                "no_token=True says that there is none: give one of them"
            )
        if len({volume.path for volume in self.volumes}) < len(self.volumes):
            raise ValueError(f"volumes share a path: {[volume.path for volume in self.volumes]}")
        return self

    def name_for(self, product: str) -> str:
        """Return the name of a product's Deployment and Service."""
        return self.name or f"mlops-{product.lower().replace('_', '-')}"[:63].rstrip("-")


def _name(name: str) -> str:
    if name == KUBERNETES:
        raise ValueError('a server on a cluster needs an image: target=KubernetesDeployment(image="…@sha256:…")')
    return MODEL_SERVERS.checked(name)


#: What kind of model server: one of ours by name, another's by name or import path.
ModelServerName = Annotated[str, AfterValidator(_name), MODEL_SERVERS]


def _form(target: Any) -> str:
    return "name" if isinstance(target, str) else "cluster"


#: Told apart first, so that what is wrong with one is not also said of the other.
Target = Annotated[
    Annotated[KubernetesDeployment, Tag("cluster")] | Annotated[ModelServerName, Tag("name")], Discriminator(_form)
]


class Serving(Placed):
    """The product's model server.

    :param host, port: where it listens on this machine; on a cluster the port of its pods.
    :param workers: how many processes answer there, on this machine or in each pod; each holds the model.
    :param grpc_port: where a server that is started on this machine also speaks gRPC; by default nowhere.
    :param target: where it runs: ``"local"``, on this machine; ``"url"``, where the Airflow connection
        ``mlops_model_server`` says, kept by others; a :class:`KubernetesDeployment`; another's kind by its name or
        import path. By default ``"url"`` where that connection names a host, else ``"local"``.
    :param options: what another's kind takes.
    """

    # What is wrong with a cluster's settings is said here, and may be a credential.
    model_config = ConfigDict(hide_input_in_errors=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8900, ge=1, le=65535)
    workers: int = Field(default=1, ge=1, le=64)
    grpc_port: int | None = Field(default=None, ge=1, le=65535)
    target: Target | None = None
    options: Params = {}

    @model_validator(mode="after")
    def _is_complete(self) -> Serving:
        if self.options and (self.target is None or self.kind(None) in MODEL_SERVERS.builtin):
            raise ValueError(f"options are for another's kind of model server; {self.kind(None)!r} takes none")
        if self.grpc_port and self.target is not None and self.target != LOCAL:
            raise ValueError("grpc_port is for a server that is started on this machine: target None or 'local'")
        return self

    def kind(self, connected: str | None) -> str:
        """Return which kind of model server it is. :param connected: the address that the connection names."""
        if isinstance(self.target, KubernetesDeployment):
            return KUBERNETES
        return self.target or (URL if connected else LOCAL)

    def address(self, product: str, connected: str | None = None, port: int | None = None) -> str:
        """Return where callers reach the server, running or not.

        :param connected: the address that the connection names. :param port: in place of the declared one.
        """
        if connected and self.target != LOCAL:
            return connected
        if isinstance(self.target, KubernetesDeployment):
            namespace = f".{self.target.namespace}.svc" if self.target.namespace else ""
            return f"http://{self.target.name_for(product)}{namespace}:{self.target.port}"
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{port or self.port}"
