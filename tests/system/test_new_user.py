"""A newcomer's way, done as its page says: own data, product and ports, a model that is served and monitored."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_mlops_provider.demo.local_airflow.stack import recorded, stop_running
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from tests.factories.blocks import ROOT, blocks
from tests.factories.ports import free_port

PAGE = ROOT / "docs" / "getting-started.md"
PORTS = ("8081", "5001", "8902")  # the page's; here they are others, as somebody else may have those
MINUTES = 40
pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(MINUTES * 60 + 120),
    pytest.mark.skipif(not os.environ.get("MLOPS_TEST_PRODUCTS"), reason="MLOPS_TEST_PRODUCTS=1 walks it"),
]


class Newcomer:
    """Somebody with an empty folder, who writes the page's files and types its commands, in order."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "my-home"
        self.files = {block.marks["file"]: block.text for block in blocks(PAGE, "python") if "file" in block.marks}
        ports = {port: str(free_port()) for port in PORTS}
        self.typed = re.sub("|".join(PORTS), lambda port: ports[port[0]], "\n".join(b.text for b in blocks(PAGE, "sh")))

    def write(self) -> None:
        """Write each file that the page has."""
        for name, text in self.files.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text, "utf-8")

    def type(self) -> subprocess.CompletedProcess[str]:
        """Type the commands into one shell, which ends at the first that fails."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        env |= {"PATH": f"{Path(sys.executable).parent}:{env['PATH']}", "COLUMNS": "200", "no_proxy": "localhost"}
        output = self.folder / "typed.log"
        with output.open("w") as stream:
            shell = subprocess.Popen(
                ["bash", "-euxc", self.typed], cwd=self.folder, env=env, stdout=stream, stderr=stream
            )
            try:
                code = shell.wait(MINUTES * 60)
            except subprocess.TimeoutExpired:
                shell.kill()
                code = shell.wait()
        return subprocess.CompletedProcess(shell.args, code, output.read_text("utf-8"))

    def lines(self) -> dict[str, int]:
        """Return how many lines that are not empty each of the files has, and the commands."""
        texts = {**self.files, "commands": self.typed}
        return {name: sum(bool(line.strip()) for line in text.splitlines()) for name, text in texts.items()}


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    """Return a newcomer; what still runs when they have given up is stopped."""
    newcomer = Newcomer(tmp_path)
    yield newcomer
    stop_running(newcomer.home)


def test_the_page_is_a_way(newcomer: Newcomer, record_property: Callable[[str, object], None]) -> None:
    """Every command succeeds: a version is trained, promoted, served, predicts and is judged; all is stopped after."""
    begun = time.monotonic()
    newcomer.write()
    done = newcomer.type()
    minutes, lines = (time.monotonic() - begun) / 60, newcomer.lines()
    assert done.returncode == 0, done.stdout[-6000:]
    (answer,) = re.findall(r'^.*({"product":"no_shows".*})', done.stdout, re.MULTILINE)
    likely, unlikely = (row["probability"] for row in json.loads(answer)["predictions"])
    assert likely > unlikely
    for word in ("production-ready", "live", "appointments/2025-04.csv"):
        assert word in done.stdout
    assert monitored(newcomer.home) == {"drift", "performance"}
    assert not recorded(newcomer.home), "it still runs"
    record_property("minutes", round(minutes, 1))
    record_property("lines", lines)
    print(f"\na newcomer's way: {minutes:.1f} minutes, lines: {lines}, {sum(lines.values())} in all")


def monitored(home: Path) -> set[str]:
    """Return the kinds of reports that there are of the month which no model has learned from."""
    files = (home / "mlops" / "no_shows").glob("*/*/manifest.json")
    manifests = [Manifest.model_validate_json(file.read_text("utf-8")) for file in files]
    may = [one for one in manifests if one.spec.interval and f"{one.spec.interval.start:%Y-%m}" == "2025-05"]
    return {one.spec.name for one in may if one.spec.name in {"drift", "performance"}}
