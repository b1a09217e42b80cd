"""Looks whether a product's ledger is whole, and whether server, pointer and MLflow agree with it."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_mlops_provider.backends.tracking.mlflow.mirror import Kept, Shown, numbered
from airflow_mlops_provider.exceptions import IntegrityError, MLOpsError, OtherRegistryError
from airflow_mlops_provider.jobs.deployment.reconcile import Context, Truth
from airflow_mlops_provider.jobs.registry.repair import known_repairs
from airflow_mlops_provider.jobs.registry.standing import CheckedLedger, one_at_a_time
from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry, Status, aliases, last_entries, live_version
from airflow_mlops_provider.storage.repairs import repair_key, repair_keys

RECONCILE = "mlops_maintenance puts it right within the hour; if it fails, its log says why"
RESTORE = "bring it back from a backup of the artifact root; until then the version can't go live"


class Damage(Frozen):
    """:param what: what is wrong, and of which entry; :param next: what to do about it."""

    what: str
    next: str


class Verified(Frozen):
    """What a look at a product's ledger found.

    :param notes: what MLflow had no right copy of, and has now; and what it can have none of.
    """

    product: str
    entries: int = 0
    live: int | None = None
    damage: tuple[Damage, ...] = ()
    notes: tuple[str, ...] = ()


def verify(context: Context) -> Verified:
    """Compare the whole ledger with what MLflow keeps, with its evidence, and with what serves.

    Nothing is put right but MLflow's copies of the entries, and only of a ledger that is whole.
    """
    with one_at_a_time(context):
        return _Look(context).result()


class _Look:
    def __init__(self, context: Context) -> None:
        self.context, self.ledger = context, CheckedLedger(context)
        self.repair = f"airflow mlops ledger repair {context.product} --reason ..."
        self.damage: list[Damage] = []

    def result(self) -> Verified:
        try:
            shown, kept = self.ledger.mirror.read(), self.ledger.mirror.kept()
        except MLOpsError as error:
            self._add(
                f"MLflow does not answer, so nothing vouches for the ledger: {error}", "verify again once it does"
            )
            return self._verified(self._whole() or [])
        entries = self._trusted(kept)
        if entries is None:
            return self._verified([])
        for line in self.ledger.flaws(entries):
            self._add(line, RESTORE)
        self._repairs(shown)
        notes = [] if self.damage else self.ledger.complete()
        notes += self._without_copy(entries, kept)
        try:
            for line in (*Truth(self.context).differences(live_version(entries)), *self._wrong_aliases(entries, shown)):
                self._add(line, RECONCILE)
        except MLOpsError as error:
            self._add(f"the model server could not be looked at: {error}", "correct its connection")
        return self._verified(entries, notes)

    def _trusted(self, kept: Kept) -> list[LedgerEntry] | None:
        """Return the entries if they are to be believed; else all that is wrong with the files becomes damage."""
        try:
            entries = self.ledger.trusted()
        except OtherRegistryError as error:
            self._add(str(error), "")
            return None
        except IntegrityError as error:
            self._add(str(error), self.repair)
            for line in self.ledger.unlike(kept):
                self._add(line, self.repair)
            return None
        chain = self.ledger.read()
        if other := kept.unlike(chain):
            self._add(f"MLflow's copies of {numbered(other)} are others", self.repair)
        for version, key in (*kept.strays, *kept.beyond(len(entries))):
            self._add(f"MLflow's tag {key[:40]} of version {version} is no copy of an entry", self.repair)
        return entries

    def _without_copy(self, entries: list[LedgerEntry], kept: Kept) -> list[str]:
        """Return, as a line, the entries of versions that were deleted in MLflow; of what may serve it is damage."""
        for number, last in last_entries(entries).items():
            if number not in kept.hashes and last.status not in (Status.RETIRED, Status.REJECTED):
                what = f"MLflow has no version {number} any more, and it is {last.status.value}"
                self._add(what, "train and register the model again, or bring MLflow's database back from a backup")
        without = [n for n, entry in enumerate(entries) if entry.version.version not in kept.hashes]
        return [f"MLflow keeps no copy of {numbered(without)}: their versions were deleted there"] if without else []

    def _whole(self) -> list[LedgerEntry] | None:
        try:
            return self.ledger.entries()
        except IntegrityError as error:
            self._add(str(error), self.repair)
            return None

    def _wrong_aliases(self, entries: list[LedgerEntry], shown: Shown) -> Iterator[str]:
        for alias, number in aliases(entries).items():
            if shown.aliases.get(alias) != number:
                yield f"MLflow's alias {alias} is at version {shown.aliases.get(alias)}, not {number}"

    def _repairs(self, shown: Shown) -> None:
        store, product = self.ledger.store, self.ledger.product
        records = known_repairs(shown)
        for name in shown.repairs.keys() - {record.name for record in records}:
            self._add(f"MLflow's record of the repair {name[:40]} can't be read", "take away that tag of the model")
        right = {repair_key(product, record.name): record for record in records}
        there = repair_keys(store, product)
        for key in sorted({*right, *there}):
            if key not in right:
                self._add(f"{key} is of a repair that MLflow does not know", self.repair)
            elif right[key].ended is None:
                self._add(f"{key}: the repair was not finished", self.repair)
            elif key not in there or store.read(key) != right[key].to_file():
                self._add(f"{key} is gone, or not what MLflow has a copy of", self.repair)

    def _add(self, what: str, next_step: str) -> None:
        self.damage.append(Damage(what=what, next=next_step))

    def _verified(self, entries: list[LedgerEntry], notes: list[str] | None = None) -> Verified:
        live = live_version(entries)
        return Verified(
            product=self.context.product,
            entries=len(entries),
            live=live.version if live else None,
            damage=tuple(self.damage),
            notes=tuple(notes or ()),
        )
