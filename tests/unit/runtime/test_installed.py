"""The bill of materials of an image: whatever Python and Debian say is installed, valid by CycloneDX's schema."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from airflow_mlops_provider.runtime.installed import installed

STATUS = """Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u10
Description: GNU C Library
 Package: not-a-field

Package: gone
Status: deinstall ok config-files
Version: 1.0

Package: adduser
Status: install ok installed
Version: 3.134
"""


def test_it_names_what_is_installed(tmp_path: Path) -> None:
    """Each distribution and each installed package by its URL; one that was removed is not there."""
    (tmp_path / "status").write_text(STATUS)
    bill = installed(tmp_path / "status")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill)) is None
    parts = {part["name"]: part for part in bill["components"]}
    assert (
        parts["libc6"]["purl"].startswith("pkg:deb/")
        and "/libc6@2.36-9%2Bdeb12u10?arch=amd64" in parts["libc6"]["purl"]
    )
    assert parts["adduser"]["purl"].partition("?")[2].startswith("arch=all")
    assert "gone" not in parts and "not-a-field" not in parts
    assert parts["pytest"]["purl"] == f"pkg:pypi/pytest@{metadata.version('pytest')}"
    assert {found.name for found in metadata.distributions()} <= set(parts)
    assert installed(tmp_path / "status") == bill


def test_it_is_printed_where_there_is_no_debian() -> None:
    """As the images' builds call it; without dpkg's list, Python's alone."""
    assert "libc6" not in str(installed(Path("/nowhere")))
    command = [sys.executable, "-m", "airflow_mlops_provider.runtime.installed"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(printed) is None
