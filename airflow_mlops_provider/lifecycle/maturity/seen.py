"""What was seen of an installation: probes by name, and each product's records. The checks decide by this alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from airflow_mlops_provider.lifecycle.maturity.verdict import Verdict, green, guarded, red, worst, yellow
from airflow_mlops_provider.lifecycle.monitoring.feedback import DataChangeRequest
from airflow_mlops_provider.lifecycle.monitoring.limits import Judgement
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.references import Dataset, Reference, Report
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry, Status

NO_PRODUCT = yellow("no product is declared", "declare one, as docs/getting-started.md shows")
#: Causes of a training that is not the first, and that no person asked for.
BY_ITSELF = ("drift", "features", "time")


@dataclass(frozen=True)
class ProductSeen:
    """A product and its records.

    :param manifests: of all jobs, in the order in which they ended; those of replaced and reused work, too.
    """

    product: MLProduct
    manifests: Sequence[Manifest] = ()
    entries: Sequence[LedgerEntry] = ()
    requests: Sequence[DataChangeRequest] = ()
    judgements: Sequence[Judgement] = ()

    def of(self, *jobs: str, **params: str) -> list[Manifest]:
        """Return the manifests of some jobs, with some parameters."""
        return [made for made in self.manifests if made.spec.job in jobs and params.items() <= made.spec.params.items()]

    def last(self, *jobs: str, **params: str) -> Manifest | None:
        """Return the newest of them, however it ended."""
        return next(reversed(self.of(*jobs, **params)), None)

    def moves(self, status: Status) -> list[LedgerEntry]:
        """Return the ledger's entries by which versions got a status."""
        return [entry for entry in self.entries if entry.status is status and entry.moves]

    @property
    def newest(self) -> LedgerEntry | None:
        """The registration of the newest version."""
        return next(reversed(self.moves(Status.REGISTERED)), None)

    @property
    def trained(self) -> Manifest | None:
        """How the newest version's model was made; None without a version, or a record of that."""
        wanted = self.newest.version.hash if self.newest else None
        return next((m for m in self.of("train", "retune") if m.result and m.result.hash == wanted), None)

    @property
    def retrained(self) -> dict[str, int]:
        """The newest version that was trained by itself, by cause."""
        causes = {
            str(entry.version.facts.get("cause")): entry.version.version for entry in self.moves(Status.REGISTERED)
        }
        return {cause: version for cause, version in causes.items() if cause in BY_ITSELF}

    def validation_of(self, data: Reference) -> Manifest | None:
        """Return the newest validation of a dataset."""
        made = reversed(self.of("validate"))
        return next((each for each in made if data.hash in {given.hash for given in each.spec.references}), None)


@dataclass(frozen=True)
class Seen:
    """All that was looked at.

    :param probes: what live looks came to: at the nine components, by their rows' ids, and at what else rows are about.
    :param broken: a line for each product that can't be used.
    """

    probes: Mapping[str, Verdict]
    products: Sequence[ProductSeen] = ()
    broken: Sequence[str] = field(default=())


Check = Callable[[Seen], Verdict]


def each(check: Callable[[ProductSeen], Verdict]) -> Check:
    """Return a check that says the worst of what another says of each product."""

    def of_all(seen: Seen) -> Verdict:
        return worst((named(seen, product, check) for product in seen.products), NO_PRODUCT)

    return of_all


def named(seen: Seen, product: ProductSeen, check: Callable[[ProductSeen], Verdict]) -> Verdict:
    """Return what a check says of a product, with its name where there are several."""
    verdict = guarded(lambda: check(product))
    name = f"{product.product.name}: " if len(seen.products) > 1 else ""
    return verdict.model_copy(update={"evidence": f"{name}{verdict.evidence}"})


def same(*probes: str) -> Check:
    """Return a check that says the worst of some probes."""
    return lambda seen: worst((seen.probes[name] for name in probes), NO_PRODUCT)


def both(*checks: Check) -> Check:
    """Return a check that says the worst of several."""
    return lambda seen: worst((check(seen) for check in checks), NO_PRODUCT)


def ran(job: str, words: Callable[[Manifest], str], **params: str) -> Check:
    """Return a check of a job's newest run: yellow without one, red if it failed."""

    def check(seen: ProductSeen) -> Verdict:
        made = seen.last(job, **params)
        return (failed(made) or green(f"{words(made)}, {when(made)}")) if made else yellow(f"no {job} is on record")

    return each(check)


def failed(made: Manifest) -> Verdict | None:
    """Return that a job failed; None if it did not."""
    failure = made.failure
    return red(f"{made.spec.name} failed {when(made)}: {failure.error}: {failure.message}") if failure else None


def refused(made: Manifest) -> Verdict | None:
    """Return that a job failed, or that its report did not pass; None if all is well."""
    if isinstance(made.result, Report) and not made.result.passed:
        return red(f"{made.spec.name} did not pass {when(made)}: {'; '.join(made.result.broken)}")
    return failed(made)


def when(made: Manifest) -> str:
    """Return of which interval, and when, a job was."""
    of = f"of {made.spec.interval.start:%F} " if made.spec.interval else ""
    return f"{of}at {made.ended:%F %H:%M} UTC"


def facts(made: Manifest, *names: str) -> str:
    """Return some facts of a job's result in words."""
    known = made.result.facts if made.result else {}
    return ", ".join(f"{name.replace('_', ' ')} {known[name]}" for name in names if known.get(name) is not None)


def data_of(made: Manifest) -> Dataset | None:
    """Return the first dataset that went into something."""
    return next((given for given in made.spec.references if isinstance(given, Dataset)), None)
