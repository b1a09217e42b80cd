"""``airflow mlops reproduce``: a model version made again from its record, or the first thing that differs."""

from __future__ import annotations

import json
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from airflow_mlops_provider.cli.lineage import parse_version
from airflow_mlops_provider.cli.workbench import Workbench, workbench
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.reproduction import Comparison, Finding, files, result
from airflow_mlops_provider.lifecycle.records.spec import Services
from airflow_mlops_provider.lifecycle.references import AnyReference, Dataset
from airflow_mlops_provider.render.terminal import console
from airflow_mlops_provider.runtime.code import load_product
from airflow_mlops_provider.runtime.reproduction import plan as reproduction
from airflow_mlops_provider.runtime.reproduction import recorded_code
from airflow_mlops_provider.storage.artifacts import open_store
from airflow_mlops_provider.storage.intervals import Store
from airflow_mlops_provider.storage.records import Records, VersionRecord

HERE, RECORDED = "here", "recorded"
CODE, AGAIN = "code and settings", "made again"


def run(args: Namespace) -> bool:
    """Make the version again that a command line names, print what was found, and say whether it is identical."""
    from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook

    store = ArtifactStoreHook()
    product, version = parse_version(args.version)
    asked = Asked(
        product=product,
        version=version,
        root=args.root or store.settings()["root"],
        secrets=store.secrets(),
        landing=args.landing,
        repository=args.repository,
        at=args.at,
        work=args.work,
        keep=args.keep,
    )
    terminal = console()
    progress = Console(stderr=True, highlight=False) if args.json else terminal
    reproduced = Reproduction(asked, lambda line: progress.print(line, markup=False, soft_wrap=True))
    try:
        compared = reproduced.run()
    except KeyboardInterrupt:
        progress.print("interrupted; what was begun is removed")
        sys.exit(128 + signal.SIGINT)
    if args.json:
        print(json.dumps(reproduced.to_json(), indent=1))
    else:
        show(terminal, compared, reproduced.seconds)
    return compared.first_difference is None


@dataclass(frozen=True)
class Asked:
    """What is to be made again, and from where.

    :param root: the artifact root that holds the record.
    :param secrets: environment variables that bear the root's credentials.
    :param landing: where deliveries lie; None for where they lay when the record was made.
    :param repository: path or URL of the repository that holds the recorded commit; None for the one on record.
    :param at: ``here`` compares code and settings with those that stand here; ``recorded`` leaves those aside.
    :param work: folder below which everything is made; None for the system's temporary one.
    """

    product: str
    version: int
    root: str
    secrets: dict[str, str] = field(repr=False)
    landing: str | None = None
    repository: str | None = None
    at: str = HERE
    work: Path | None = None
    keep: bool = False


class Reproduction:
    """One version, made again.

    :param say: takes a line for each step as it ends.
    """

    def __init__(self, asked: Asked, say: Callable[[str], None]) -> None:
        self.asked = asked
        self.compared = Comparison()
        self.seconds = 0.0
        self._say = say
        self._store = open_store(asked.root, asked.secrets)
        records = Records(self._store)
        self.version = records.version(asked.product, asked.version)
        self.steps = reproduction.steps(records, self.version)
        self._jobs = [step.recorded for step in self.steps if step.recorded and step.job]
        self._gone: set[str] = set()  # snapshots of which a delivery is not there any more

    def run(self) -> Comparison:
        """Compare what stands here with the record and, if it is the same, make everything again."""
        began = time.monotonic()
        self._say(f"{self.asked.product}@{self.asked.version}, {trained(self.version)}")
        self.look()
        if self.compared.first_difference is None:
            with workbench(self.asked.work, self.asked.repository, self.asked.secrets, self.asked.keep) as bench:
                self._say(f"making it again in {bench.folder}")
                self._make_again(bench)
        self.seconds = round(time.monotonic() - began, 1)
        return self.compared

    def look(self) -> None:
        """Compare what stands here and now with the record."""
        raw = [step for step in self.steps if step.job == "extract"]
        delivered = reproduction.deliveries(
            raw, lambda step: open_store(self._landing(step.recorded), self.asked.secrets)
        )
        told = {name: both for one in delivered.values() for name, both in one.items()}
        self._note("raw files", files(told))
        if self.asked.at == HERE:
            present = load_product(self.asked.product)
            found = (one for manifest in self._jobs for one in recorded_code.findings(manifest, present))
            self._note(CODE, found)
        self._note("packages", (one for manifest in self._jobs for one in reproduction.package_findings(manifest)))
        kept = (step for step in self.steps if step.job in {"training_set", "train"})
        self._note("what was kept", (reproduction.kept(step, self._store) for step in kept))
        self._gone = {key for key, one in delivered.items() if any(now is None for _, now in one.values())}

    def _landing(self, recorded: Manifest | None) -> str:
        return self.asked.landing or (recorded.spec.services.landing if recorded else "")

    def _note(self, section: str, findings: Iterable[Finding]) -> None:
        found = self.compared.add(section, findings)
        wrong = sum(not one.equal for one in found)
        self._say(f"  {'✗' if wrong else '✓'} {section:<36} {len(found) - wrong} of {len(found)} as recorded")

    def _make_again(self, bench: Workbench) -> None:
        known: dict[str, AnyReference] = {}
        root = open_store(str(bench.folder / "artifacts"))
        for step in self.steps:
            began = time.monotonic()
            if step.recorded is None or not step.job or step.key in self._gone:
                known[step.key] = reproduction.take(step.reference, self._store, root)
                findings = [reproduction.taken(step)]
            else:
                rebuilt = self._run(step.recorded, known, root, bench)
                assert rebuilt.result is not None
                known[step.key] = rebuilt.result
                findings = list(result(step.name, step.recorded, rebuilt))
            self.compared.add(AGAIN, findings)
            same = all(one.equal for one in findings)
            self._say(f"  {'✓' if same else '✗'} {step.name:<36} {time.monotonic() - began:6.1f} s")
            if not same:
                return  # whatever is made of it would differ, too

    def _run(self, recorded: Manifest, known: dict[str, AnyReference], root: Store, bench: Workbench) -> Manifest:
        # The newest commit first: what an older one made was often made by the very same code.
        shop = bench.shop(recorded, [one.code.commit for one in reversed(self._jobs) if one.code.commit])
        services = Services(landing=self._landing(recorded), mlflow=f"sqlite:///{bench.folder}/artifacts/mlflow.db")
        spec = reproduction.again(recorded, known, root.uri, services)
        for features in reproduction.loads(recorded):
            loaded = known[reproduction.key_of(features)]
            assert isinstance(loaded, Dataset)
            shop.run(reproduction.loading(loaded, spec))
            self._say(f"    loaded features {reproduction.begins(features)} into a new feature store")
        return shop.run(spec)

    def to_json(self) -> dict[str, Any]:
        """Return everything that was compared, for a script."""
        first = self.compared.first_difference
        return {
            "product": self.asked.product,
            "version": self.asked.version,
            "verdict": self.compared.verdict,
            "identical": first is None,
            "first_difference": first.to_json() if first else None,
            "code": self.version.trained.code.to_json(),
            "compared": {name: [one.to_json() for one in found] for name, found in self.compared.sections.items()},
            "seconds": self.seconds,
        }


def show(console: Console, compared: Comparison, seconds: float) -> None:
    """Print what was compared, the differing things by themselves, and the verdict as the last line."""
    table = Table("compared", "recorded", "found", "equal", "note")
    for section, found in compared.sections.items():
        alone = [one for one in found if section == AGAIN or one.note or not one.equal]
        if len(found) > len(alone):
            same = f"{len(found) - len(alone)} of {len(found)}"
            table.add_row(section, same, same, "✓", "")
        for one in alone:
            mark = "✓" if one.equal else "✗"
            table.add_row(*map(escape, (one.what, one.recorded, one.found, mark, one.note)))
    console.print(table)
    if any(not one.equal for one in compared.sections.get(CODE, ())):
        console.print("to leave the code that stands here aside and use the recorded one: --at recorded")
    console.print(f"{seconds:.0f} s", style="dim")
    console.print(compared.verdict, markup=False, soft_wrap=True)


def trained(version: VersionRecord) -> str:
    """Return when a version was made, on whose behalf, and from which commit."""
    made = version.trained
    commit = f"commit {made.code.commit[:12]}" if made.code.commit else "code without a commit"
    return f"trained {made.ended:%F %T} UTC by {made.spec.run.dag_id or 'a job outside Airflow'}, {commit}"
