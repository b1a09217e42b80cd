"""The parts of a pod's settings: small values that are checked when they are made."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from airflow_mlops_provider.lifecycle.frozen import Frozen

UNITS = {
    **{unit: 1024**power for power, unit in enumerate(("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))},
    **{unit: 1000**power for power, unit in enumerate(("", "k", "M", "G", "T", "P", "E"))},
}
Memory = Annotated[str, StringConstraints(pattern=r"^[1-9]\d*(\.\d+)?([KMGTPE]i|[kMGTPE])?$")]
Cpu = Annotated[str, StringConstraints(pattern=r"^(\d+m|\d+(\.\d{1,3})?)$")]
Dns = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")]
Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][-A-Za-z0-9_./]{0,316}$")]
Path = Annotated[str, StringConstraints(pattern=r"^/[^:]*$")]
#: Pods to leave in the cluster after their end, for a look at them.
Keep = Literal["none", "failed", "all"]


class Strict(Frozen):
    """A value that names an unknown field together with the known ones, and repeats no value in its errors."""

    model_config = ConfigDict(hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _known_fields(cls, given: Any) -> Any:
        unknown = sorted(set(given) - set(cls.model_fields)) if isinstance(given, dict) else []
        if unknown:
            raise ValueError(
                f"{cls.__name__} has no field {unknown[0]!r}; known: {', '.join(sorted(cls.model_fields))}"
            )
        return given


class SecretKey(Strict):
    """One value in a Kubernetes secret, by reference: only the kubelet reads it, and puts it into the container."""

    name: Dns
    key: Annotated[str, StringConstraints(pattern=r"^[-._a-zA-Z0-9]{1,253}$")]


class Toleration(Strict):
    """A taint that does not keep the pod off a node."""

    key: str = ""
    operator: Literal["Exists", "Equal"] = "Equal"
    value: str = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""


class Volume(Strict):
    """Something mounted into the container, from exactly one source.

    :param path: where in the container.
    :param claim, secret, config_map: name of a PersistentVolumeClaim, Secret or ConfigMap.
    :param host_path: a folder of the node.
    :param empty_dir: a size, such as ``1Gi``: an empty folder that goes with the pod; ``in_memory`` makes it a tmpfs.
    """

    path: Path
    claim: Dns | None = None
    secret: Dns | None = None
    config_map: Dns | None = None
    host_path: Path | None = None
    empty_dir: Memory | None = None
    in_memory: bool = False
    sub_path: str = ""
    read_only: bool = False

    @model_validator(mode="after")
    def _one_source(self) -> Volume:
        named = [name for name in ("claim", "secret", "config_map", "host_path", "empty_dir") if getattr(self, name)]
        if len(named) != 1:
            raise ValueError(f"the volume at {self.path} needs one source, not {named or 'none'}")
        if self.in_memory and not self.empty_dir:
            raise ValueError(f"the volume at {self.path}: only an empty_dir can lie in memory")
        return self

    def source(self) -> dict[str, Any]:
        """Return the volume's source as the API writes it."""
        if self.empty_dir:
            medium = {"medium": "Memory"} if self.in_memory else {}
            return {"emptyDir": {"sizeLimit": self.empty_dir, **medium}}
        known: dict[str, dict[str, Any]] = {
            "claim": {"persistentVolumeClaim": {"claimName": self.claim}},
            "secret": {"secret": {"secretName": self.secret}},
            "config_map": {"configMap": {"name": self.config_map}},
            "host_path": {"hostPath": {"path": self.host_path}},
        }
        return next(source for name, source in known.items() if getattr(self, name))

    def mount(self, name: str) -> dict[str, Any]:
        """Return the mount of this volume under some name as the API writes it."""
        further = {"subPath": self.sub_path, "readOnly": self.read_only}
        return {"name": name, "mountPath": self.path, **{key: value for key, value in further.items() if value}}


class LogBounds(Strict):
    """How much of a pod's log goes into the task's log. All of it is kept as an artifact.

    :param lines: lines at most per look at a running pod, the newest; where some are left out, a line says so.
    :param total: bytes at most for one pod.
    """

    lines: int = Field(default=1000, gt=0)
    total: int = Field(default=1024 * 1024, gt=0)


def in_bytes(quantity: str) -> int:
    """Return how many bytes a quantity such as ``1.5Gi`` means."""
    number, unit = re.fullmatch(r"([\d.]+)(\D*)", quantity).groups()  # type: ignore[union-attr] # checked when made
    return int(float(number) * UNITS[unit])


def as_quantity(size: float) -> str:
    """Return a number of bytes as the largest binary unit that writes it in whole numbers, rounded up to MiB."""
    mebibytes = -(-int(size) // UNITS["Mi"])
    return f"{mebibytes // 1024}Gi" if mebibytes % 1024 == 0 else f"{mebibytes}Mi"
