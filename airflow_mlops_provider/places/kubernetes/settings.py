"""The settings of a job's pod: plain data, checked when it is made. What is done with them, others say."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import ByteSize, Field, TypeAdapter, model_validator

from airflow_mlops_provider.lifecycle.frozen import Strict
from airflow_mlops_provider.lifecycle.serving.pods import Cpu, Dns, Key, Memory, Variable, check_environment
from airflow_mlops_provider.lifecycle.serving.pods import SecretKey as SecretKey  # noqa: PLC0414  # given with a place
from airflow_mlops_provider.lifecycle.serving.pods import Toleration as Toleration  # noqa: PLC0414  # given with a place
from airflow_mlops_provider.lifecycle.serving.pods import Volume as Volume  # noqa: PLC0414  # given with a place
from airflow_mlops_provider.places.kubernetes.decisions.ends import Timeouts
from airflow_mlops_provider.places.kubernetes.watch import Keep, LogBounds, Watch

USUAL_CAP = 4


class PodSettings(Strict):
    """What a job's pod has, where it runs, and how it is waited for.

    :param cpu, memory: requested; memory is also the limit. Quantities as Kubernetes writes them: ``500m``, ``4Gi``.
    :param memory_factor, memory_cap: after an out-of-memory the next try has this much more, up to the cap; by default
        twice as much, up to four times of ``memory``.
    :param gpus, gpu_type: NVIDIA GPUs, and the value of the node label ``nvidia.com/gpu.product`` they must have.
    :param volumes: what the container mounts.
    :param secrets: environment variables by reference into Kubernetes secrets; None for one that the connections hold
        and the pod does without.
    :param env: further environment variables, none of them a credential.
    :param pod_template: a v1 Pod, or the path of a YAML file with one, for all else; its container ``base`` is the
        job's. The fields here count more.
    :param schedule_timeout_seconds: how long a node may take to be found, or to be provisioned.
    :param startup_timeout_seconds: how long the container may take to start, from then on.
    :param active_deadline_seconds: how long the pod may live; a shorter ``execution_timeout`` of the task counts more.
    :param conn_id: the Airflow connection to the cluster.
    :param deferrable: wait in the triggerer; if not, in the worker.
    :param poll_seconds: pause between two looks at the pod.
    :param keep: pods to leave in the cluster after their end, for a look at them.
    """

    image: str = Field(min_length=1, pattern=r"^(\S+|.*\{\{.*)$")
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    image_pull_secrets: tuple[Dns, ...] = ()
    cpu: Cpu | None = None
    memory: Memory | None = None
    memory_factor: float = Field(default=2.0, gt=1)
    memory_cap: Memory | None = None
    gpus: int = Field(default=0, ge=0)
    gpu_type: str | None = None
    node_selector: dict[Key, str] = {}
    tolerations: tuple[Toleration, ...] = ()
    service_account: Dns | None = None
    namespace: Dns | None = None
    priority_class: Dns | None = None
    volumes: tuple[Volume, ...] = ()
    secrets: dict[Variable, SecretKey | None] = {}
    env: dict[Variable, str] = {}
    pod_template: dict[str, Any] | str | None = None
    labels: dict[Key, str] = {}
    annotations: dict[Key, str] = {}
    schedule_timeout_seconds: int = Field(default=1800, gt=0)
    startup_timeout_seconds: int = Field(default=900, gt=0)
    active_deadline_seconds: int = Field(default=24 * 3600, gt=0)
    termination_grace_seconds: int = Field(default=30, ge=0)
    conn_id: str = "kubernetes_default"
    deferrable: bool = True
    poll_seconds: float = Field(default=10.0, gt=0)
    log: LogBounds = LogBounds()
    keep: Keep = "none"

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.gpu_type and not self.gpus:
            raise ValueError(f"gpu_type={self.gpu_type!r} without gpus: say how many")
        if self.memory_cap and (not self.memory or in_bytes(self.memory_cap) < in_bytes(self.memory)):
            raise ValueError(f"memory_cap={self.memory_cap!r} needs a memory that is no more, not {self.memory!r}")
        check_environment(self.env, self.secrets)
        if len({volume.path for volume in self.volumes}) < len(self.volumes):
            raise ValueError(f"volumes share a path: {[volume.path for volume in self.volumes]}")
        return self

    def watch(self) -> Watch:
        """Return how the pod is waited for."""
        timeouts = Timeouts(schedule=self.schedule_timeout_seconds, startup=self.startup_timeout_seconds)
        return Watch(timeouts=timeouts, poll_seconds=self.poll_seconds, log=self.log, keep=self.keep)

    def more_memory(self, memory: str | None) -> str | None:
        """Return what a try after an out-of-memory gets; None if there is no more to give.

        :param memory: what it ran out of.
        """
        if self.memory is None or memory is None:
            return None
        cap = in_bytes(self.memory_cap) if self.memory_cap else USUAL_CAP * in_bytes(self.memory)
        more = min(cap, in_bytes(memory) * self.memory_factor)
        return as_quantity(more) if more > in_bytes(memory) else None


def in_bytes(quantity: str) -> int:
    """Return how many bytes a quantity such as ``1.5Gi`` means."""
    return TypeAdapter(ByteSize).validate_python(f"{quantity}B")


def as_quantity(size: float) -> str:
    """Return a number of bytes as the largest binary unit that writes it in whole numbers, rounded up to MiB."""
    mebibytes = -(-int(size) // 1024**2)
    return f"{mebibytes // 1024}Gi" if mebibytes % 1024 == 0 else f"{mebibytes}Mi"
