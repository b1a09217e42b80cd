"""What MLflow's registry shows of a product's ledger, and the second place that keeps the ledger: head and entries."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

from airflow_mlops_provider.backends.tracking.mlflow.client import MODEL_HASH, MlflowBackend
from airflow_mlops_provider.backends.tracking.mlflow.server import Allowing, mlflow_call
from airflow_mlops_provider.exceptions import IntegrityError
from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry, Status, aliases
from airflow_mlops_provider.storage.ledger import Chain, Ledger, head_number
from airflow_mlops_provider.storage.record_files import parse_record

HEAD = "mlops.ledger_head"
DEPLOYING = "mlops.deploying"
APPROVING = "mlops.approving"
ENTRY = "mlops.ledger."
REPAIR = "mlops.ledger_repair."
LONGEST = 10_000_000
WAIVING = "mlops.waiving"


class Shown(Frozen):
    """What the registry shows.

    :param head: the ledger's last entry and digest, as they were kept last; None if never.
    :param deploying: the version that a deployment began to bring into production last.
    :param approving: the approval that began to be entered last, as ``version by person``.
    :param waiving: the digest of the waiver that a person began to enter last.
    :param aliases: version by alias.
    :param repairs: the records of the ledger's repairs, by name.
    """

    head: str | None = None
    deploying: int | None = None
    approving: str | None = None
    waiving: str | None = None
    aliases: dict[str, int] = {}
    repairs: dict[str, bytes] = {}


class Kept(NamedTuple):
    """What the tags of a product's versions keep.

    :ivar hashes: the hash of each version's model; empty where none is kept.
    :ivar entries: the bytes of the ledger's entries by their numbers.
    :ivar versions: the version that each of these is of.
    :ivar strays: the tags, each with its version, that should be copies and are none of an entry of that version.
    """

    hashes: dict[int, str]
    entries: dict[int, bytes]
    versions: dict[int, int]
    strays: list[tuple[int, str]]

    def beyond(self, length: int) -> list[tuple[int, str]]:
        """Return the tags that are copies of entries which a ledger of some length does not have."""
        return [(self.versions[number], f"{ENTRY}{number:08d}") for number in sorted(self.entries) if number >= length]

    def unlike(self, chain: Chain) -> list[int]:
        """Return the numbers of the entries of a chain of which there is a copy, and another one."""
        return [n for n, data in enumerate(chain.data) if self.entries.get(n, data) != data]


def approving(version: int, by: str) -> str:
    """Return what is kept of an approval before it is entered."""
    return f"{version} by {by}"


class Mirror(MlflowBackend):
    """A product's registered model in MLflow: its aliases follow the ledger, its tags keep the ledger's head.

    Each entry is kept whole as a tag of its version. Whoever can write below the artifact root can't write here by
    that alone: an entry that the ledger has and MLflow doesn't know of is believed only if what it rests on is there.

    :param uri: MLflow's, as for :class:`~.mlflow.MlflowBackend`. Every call raises ``BackendError`` if it is down.
    """

    def __init__(self, uri: str, product: str) -> None:
        super().__init__(uri)
        self.product = product

    @mlflow_call
    def read(self) -> Shown:
        """Return what is shown; nothing if no version was registered yet."""
        with Allowing("RESOURCE_DOES_NOT_EXIST"):
            model = self.client.get_registered_model(self.product)
            repairs = {
                key.removeprefix(REPAIR): unpack(text) for key, text in model.tags.items() if key.startswith(REPAIR)
            }
            tags = {"head": HEAD, "deploying": DEPLOYING, "approving": APPROVING, "waiving": WAIVING}
            shown = {name: model.tags.get(tag) for name, tag in tags.items()}
            return Shown(**shown, aliases=model.aliases, repairs=repairs)
        return Shown()

    @mlflow_call
    def kept(self) -> Kept:
        """Return what the versions' tags keep."""
        kept = Kept({}, {}, {}, [])
        for made in self._versions(f"name = '{self.product}'"):
            version = int(made.version)
            kept.hashes[version] = made.tags.get(MODEL_HASH, "")
            for key, text in made.tags.items():
                if not key.startswith(ENTRY):
                    continue
                data = unpack(text)
                try:
                    entry = parse_record(key, data, LedgerEntry)
                except IntegrityError:
                    entry = None
                if entry and (entry.version.version, f"{ENTRY}{entry.sequence:08d}") == (version, key):
                    kept.entries[entry.sequence], kept.versions[entry.sequence] = data, version
                else:
                    kept.strays.append((version, key))
        return kept

    def announce(self, version: int) -> None:
        """Keep that a version is about to be brought into production."""
        self._tag(DEPLOYING, str(version))

    def announce_approval(self, version: int, by: str) -> None:
        """Keep that somebody's approval is about to be entered."""
        self._tag(APPROVING, approving(version, by))

    def announce_waiver(self, waiver: str) -> None:
        """Keep that a person is about to waive a gate, by the digest of what is to be entered."""
        self._tag(WAIVING, waiver)

    def keep_repair(self, name: str, record: bytes) -> None:
        """Keep the record of a repair."""
        self._tag(f"{REPAIR}{name}", pack(record))

    @mlflow_call
    def remove(self, version: int) -> None:
        """Take away a version that the ledger does not know."""
        self.client.delete_model_version(self.product, str(version))

    def follow(self, ledger: Ledger, check: Callable[[Chain, Shown], object] = lambda *_: None) -> list[str]:
        """Show what the ledger says now, and return what had to be changed for it, a line for each.

        It looks at the ledger after every change of its own: of two that follow at once the last one is right.

        :param check: raises an error if the ledger is not to be believed beside what is shown.
        """
        changed: list[str] = []
        while True:
            shown, chain = self.read(), ledger.read()  # in this order: the head must not be newer than the ledger
            check(chain, shown)
            before = len(changed)
            for alias, number in aliases(chain.entries).items():
                if shown.aliases.get(alias) != number:
                    changed.append(f"alias {alias} of {self.product}: {shown.aliases.get(alias)} → {number}")
                    self.set_alias(self.product, alias, number)
            if chain.head and shown.head != chain.head:
                changed.append(f"head of the ledger of {self.product}: {shown.head} → {chain.head}")
                self._keep(chain, range(head_number(shown.head) + 1, len(chain.entries)))
                self._tag(HEAD, chain.head)
            if len(changed) == before or len(changed) > 20:
                return changed

    def complete(self, chain: Chain) -> list[str]:
        """Have the versions' tags keep what they lack of a ledger that is to be believed, and return what, a line each.

        A copy that is another one stays: only a person can say who is right.
        """
        kept = self.kept()
        lost = [
            number
            for number, entry in enumerate(chain.entries)
            if entry.version.version in kept.hashes and number not in kept.entries
        ]
        self._keep(chain, lost)
        lines = [f"MLflow had no copy of {numbered(lost)}"] if lost else []
        for version in (entry.version for entry in chain.entries if entry.status is Status.REGISTERED):
            if kept.hashes.get(version.version, version.hash) != version.hash:
                lines.append(f"tag {MODEL_HASH} of version {version.version} was {kept.hashes[version.version][:80]!r}")
                self._tag_version(version.version, MODEL_HASH, version.hash)
        return lines

    def replace(self, chain: Chain, numbers: Iterable[int], strays: Iterable[tuple[int, str]]) -> None:
        """Have tags keep some entries, whatever they kept before, and take away others, each given with its version."""
        for version, key in strays:
            self._take_away(version, key)
        self._keep(chain, numbers)

    def _keep(self, chain: Chain, numbers: Iterable[int]) -> None:
        for number in numbers:
            version = chain.entries[number].version.version
            self._tag_version(version, f"{ENTRY}{number:08d}", pack(chain.data[number]))

    @mlflow_call
    def _tag(self, key: str, value: str) -> None:
        self.client.set_registered_model_tag(self.product, key, value)

    @mlflow_call
    def _take_away(self, version: int, key: str) -> None:
        self.client.delete_model_version_tag(self.product, str(version), key)

    @mlflow_call
    def _tag_version(self, version: int, key: str, value: str) -> None:
        with Allowing("RESOURCE_DOES_NOT_EXIST"):  # one that was deleted in MLflow has no tags any more
            self.client.set_model_version_tag(self.product, str(version), key, value)


def pack(data: bytes) -> str:
    """Return bytes as a tag's text, which any database keeps as it is and few find too long."""
    return base64.b64encode(zlib.compress(data, 9)).decode()


def unpack(text: str) -> bytes:
    """Return the bytes that a tag's text stands for; none if it is no such text."""
    with suppress(ValueError, zlib.error):
        return zlib.decompressobj().decompress(base64.b64decode(text, validate=True), LONGEST)
    return b""


def numbered(numbers: Iterable[int]) -> str:
    """Return entries' numbers as words: "entries 0-4, 7"."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return f"entries {', '.join('-'.join(map(str, run)) for run in runs)}"
