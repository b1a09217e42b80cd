"""What a container is given on a Kubernetes cluster: quantities, names, secrets by reference, volumes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from airflow_mlops_provider.lifecycle.frozen import Strict

#: Names of variables whose values nobody may read.
CREDENTIAL = re.compile(r"PASSW(OR)?D|TOKEN(_|$)|SECRET|CREDENTIAL|(API|ACCESS|PRIVATE)_?KEY", re.IGNORECASE)
Memory = Annotated[str, StringConstraints(pattern=r"^[1-9]\d*(\.\d+)?([KMGTPE]i|[kMGTPE])?$")]
Cpu = Annotated[str, Field(pattern=r"^(\d+m|\d+(\.\d{1,3})?)$", coerce_numbers_to_str=True)]
Dns = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")]
Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][-A-Za-z0-9_./]{0,316}$")]
Path = Annotated[str, StringConstraints(pattern=r"^/[^:]*$")]


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


def check_environment(env: Iterable[str], secrets: Iterable[str]) -> None:
    """Make sure that no variable is a credential in plain text, or given twice. :raises ValueError: naming it."""
    for name in env:
        if CREDENTIAL.search(name):
            raise ValueError(f"env must not hold {name!r}; write secrets={{{name!r}: SecretKey(name=…, key=…)}}")
    if both := sorted({*env} & {*secrets}):
        raise ValueError(f"{', '.join(both)} are in env and in secrets; once is enough")
