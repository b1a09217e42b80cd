"""Makes a model version again from its record, or names the first thing that differs."""

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

from airflow_mlops_provider.cli.arguments import HERE
from airflow_mlops_provider.cli.lineage import parse_version
from airflow_mlops_provider.cli.reproduction.workbench import Workbench, workbench
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.reproduction import Comparison, Finding, files, result
from airflow_mlops_provider.lifecycle.records.spec import Services
from airflow_mlops_provider.lifecycle.references import AnyReference, Dataset
from airflow_mlops_provider.render.terminal import console, table
from airflow_mlops_provider.runtime.code import load_product
from airflow_mlops_provider.runtime.reproduction import plan, recorded_code
from airflow_mlops_provider.storage.artifacts import ArtifactStore, open_store
from airflow_mlops_provider.storage.layout import key_in
from airflow_mlops_provider.storage.records import Records, VersionRecord

CODE, REBUILT = "code and settings", "made again"


def run(args: Namespace) -> bool:
    """Reproduce the version that a command line names, print what was compared, and say whether it is identical."""
    from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook

    store = ArtifactStoreHook()
    terminal = console()
    progress = Console(stderr=True, highlight=False) if args.json else terminal
    reproduction = Reproduction(
        *parse_version(args.version),
        root=args.root or store.settings()["root"],
        secrets=store.secrets(),
        progress=lambda line: progress.print(line, markup=False, soft_wrap=True),
        landing=args.landing,
        repository=args.repository,
        at=args.at,
        work=args.work,
        keep=args.keep,
    )
    try:
        compared = reproduction.run()
    except KeyboardInterrupt:
        progress.print("interrupted; what was begun is removed")
        sys.exit(128 + signal.SIGINT)
    if args.json:
        print(json.dumps(reproduction.to_json(), indent=1))
    else:
        show(terminal, compared, reproduction.seconds, reproduction.version)
    return compared.first_difference is None


@dataclass
class Reproduction:
    """One version, reproduced.

    :param number: the version's.
    :param root: the artifact root that holds the record.
    :param secrets: environment variables with the root's credentials.
    :param progress: takes a line for each step as it ends.
    :param landing: where deliveries are; None for where they were when the record was made.
    :param repository: path or URL of the repository that holds the recorded commit; None for the one on record.
    :param at: ``here`` compares code and settings with those here; ``recorded`` uses the record's own.
    :param work: folder below which everything is made; None for the system's temporary one.
    """

    product: str
    number: int
    root: str
    secrets: dict[str, str] = field(repr=False)
    progress: Callable[[str], None]
    landing: str | None = None
    repository: str | None = None
    at: str = HERE
    work: Path | None = None
    keep: bool = False

    def __post_init__(self) -> None:
        self.compared, self.seconds = Comparison(), 0.0
        self._store = open_store(self.root, self.secrets)
        records = Records(self._store)
        self.version = records.version(self.product, self.number)
        self.steps = plan.steps(records, self.version)
        self._jobs = [step.recorded for step in self.steps if step.recorded and step.job]
        self._gone: set[str] = set()  # snapshots of which a delivery is not there any more

    def run(self) -> Comparison:
        """Compare the present with the record and, if it is the same, make everything again."""
        began = time.monotonic()
        self.progress(f"{self.product}@{self.number}, {trained(self.version)}")
        self.compare_present()
        if self.compared.first_difference is None:
            with workbench(self.work, self.repository, self.secrets, self.keep) as bench:
                self.progress(f"making it again in {bench.folder}")
                self._rebuild_all(bench)
        self.seconds = round(time.monotonic() - began, 1)
        return self.compared

    def compare_present(self) -> None:
        """Compare deliveries, code, settings, packages and kept results, as they are here and now, with the record."""
        snapshots = [step for step in self.steps if step.recorded and step.reference.facts.get("files")]
        delivered = plan.deliveries(snapshots, lambda step: open_store(self._landing(step.recorded), self.secrets))
        self._note("raw files", files({key: hashes for read in delivered.values() for key, hashes in read.items()}))
        if self.at == HERE:
            present = load_product(self.product)
            self._note(CODE, (finding for job in self._jobs for finding in recorded_code.findings(job, present)))
        self._note("packages", (finding for job in self._jobs for finding in plan.package_findings(job)))
        learned = {key_in(reference.uri) for reference in (self.version.version, *plan.needed(self.version.trained))}
        self._note("what was kept", (plan.kept(step, self._store) for step in self.steps if step.key in learned))
        self._gone = {key for key, read in delivered.items() if any(now is None for _, now in read.values())}

    def _landing(self, recorded: Manifest | None) -> str:
        return self.landing or (recorded.spec.services.landing if recorded else "")

    def _note(self, section: str, findings: Iterable[Finding]) -> None:
        noted = self.compared.add(section, findings)
        same = sum(finding.equal for finding in noted)
        self.progress(f"  {'✓' if same == len(noted) else '✗'} {section:<36} {same} of {len(noted)} as recorded")

    def _rebuild_all(self, bench: Workbench) -> None:
        known: dict[str, AnyReference] = {}
        root = open_store(str(bench.folder / "artifacts"))
        for step in self.steps:
            began = time.monotonic()
            if step.recorded is None or not step.job or step.key in self._gone:
                known[step.key] = plan.take(step.reference, self._store, root)
                findings = [plan.taken(step)]
            else:
                rebuilt = self._rebuild(step.recorded, known, root, bench)
                assert rebuilt.result is not None
                known[step.key] = rebuilt.result
                findings = list(result(step.name, step.recorded, rebuilt))
            self.compared.add(REBUILT, findings)
            same = all(finding.equal for finding in findings)
            self.progress(f"  {'✓' if same else '✗'} {step.name:<36} {time.monotonic() - began:6.1f} s")
            if not same:
                return  # whatever is made of it would differ, too

    def _rebuild(
        self, recorded: Manifest, known: dict[str, AnyReference], root: ArtifactStore, bench: Workbench
    ) -> Manifest:
        # The newest commit first: what an older one made was often made by the very same code.
        commits = [job.code.commit for job in reversed(self._jobs) if job.code.commit]
        process = bench.process(recorded, commits)
        services = Services(landing=self._landing(recorded), mlflow=f"sqlite:///{bench.folder}/artifacts/mlflow.db")
        spec = plan.again(recorded, known, root.uri, services)
        for features in plan.loads(recorded):
            rebuilt = known[key_in(features.uri)]
            assert isinstance(rebuilt, Dataset)
            process.run(plan.loading(rebuilt, spec))
            self.progress(f"    loaded features {plan.begins(features)} into a new feature store")
        return process.run(spec)

    def to_json(self) -> dict[str, Any]:
        """Return everything that was compared, for a script."""
        first = self.compared.first_difference
        return {
            "product": self.product,
            "version": self.number,
            "verdict": self.compared.verdict,
            "identical": first is None,
            "first_difference": first.to_json() if first else None,
            "code": self.version.trained.code.to_json(),
            "compared": {
                section: [finding.to_json() for finding in findings]
                for section, findings in self.compared.sections.items()
            },
            "seconds": self.seconds,
        }


def show(console: Console, compared: Comparison, seconds: float, version: VersionRecord) -> None:
    """Print what was compared, the differing things by themselves, and the verdict as the last line."""
    rows: list[tuple[str, ...]] = []
    for section, findings in compared.sections.items():
        listed = [finding for finding in findings if section == REBUILT or finding.note or not finding.equal]
        if len(findings) > len(listed):
            same = f"{len(findings) - len(listed)} of {len(findings)}"
            rows.append((section, same, same, "✓", ""))
        rows += [(each.what, each.recorded, each.found, "✓" if each.equal else "✗", each.note) for each in listed]
    console.print(table(("compared", "recorded", "found", "equal", "note"), rows))
    if not all(finding.equal for finding in compared.sections.get(CODE, ())):
        committed = version.trained.code.commit
        console.print(
            "to use the recorded code instead of the code here: --at recorded"
            if committed
            else "no commit is on record, the code was in no git repository: put these files back, and it goes on"
        )
    console.print(f"{seconds:.0f} s", style="dim")
    console.print(compared.verdict, markup=False, soft_wrap=True)


def trained(version: VersionRecord) -> str:
    """Return when a version was made, on whose behalf, and from which commit."""
    made = version.trained
    commit = f"commit {made.code.commit[:12]}" if made.code.commit else "code without a commit, known by its hashes"
    return f"trained {made.ended:%F %T} UTC by {made.spec.run.dag_id or 'a job outside Airflow'}, {commit}"
