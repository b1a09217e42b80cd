"""A CycloneDX 1.6 bill of materials of an image: what of Python's and of Debian's is installed in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from airflow_mlops_provider.lifecycle.description.bom import purl
from airflow_mlops_provider.lifecycle.frozen import digest


class DebianPackage(NamedTuple):
    """One package of Debian's kind, as dpkg's own list has it."""

    name: str
    version: str
    architecture: str


def debian_packages(status: str) -> list[DebianPackage]:
    """Return the packages that dpkg's list, ``/var/lib/dpkg/status``, calls installed."""
    entries = (dict(re.findall(r"^([A-Za-z-]+): (.*)$", part, re.MULTILINE)) for part in status.split("\n\n"))
    there = (entry for entry in entries if entry.get("Status", "").endswith(" installed"))
    return [DebianPackage(entry["Package"], entry["Version"], entry.get("Architecture", "all")) for entry in there]


def bill_of_image(python: Mapping[str, str], debian: list[DebianPackage], system: Mapping[str, str]) -> dict[str, Any]:
    """Return the bill of materials: the same packages make the same one.

    :param python: versions of the Python distributions, by name.
    :param system: the fields of ``/etc/os-release``, as far as there are any.
    """
    family, release = system.get("ID", "debian"), system.get("VERSION_ID", "")
    parts = {purl(name, version): ("library", name, version) for name, version in python.items()}
    for one in debian:
        distro = f"&distro={quote(f'{family}-{release}')}" if release else ""
        where = f"pkg:deb/{quote(family)}/{quote(one.name)}@{quote(one.version)}?arch={quote(one.architecture)}{distro}"
        parts[where] = ("library", one.name, one.version)
    if release:
        parts[f"os/{family}"] = ("operating-system", family, release)
    components = [
        {"type": kind, "bom-ref": ref, "name": name, "version": version, **({"purl": ref} if kind == "library" else {})}
        for ref, (kind, name, version) in sorted(parts.items())
    ]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, digest(sorted(parts)))}",
        "version": 1,
        "metadata": {"component": {"type": "container", "bom-ref": "image", "name": "image"}},
        "components": components,
        "dependencies": [{"ref": "image", "dependsOn": sorted(parts)}, *({"ref": ref} for ref in sorted(parts))],
    }
