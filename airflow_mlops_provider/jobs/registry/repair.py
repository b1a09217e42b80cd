"""Puts a product's ledger right from what MLflow keeps of it: byte for byte, and with a record of who had it done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime

from pydantic import ValidationError

from airflow_mlops_provider.backends.tracking.mlflow.mirror import Kept, Shown, numbered
from airflow_mlops_provider.exceptions import ConfigurationError, IntegrityError
from airflow_mlops_provider.jobs.registry.standing import CheckedLedger, one_at_a_time
from airflow_mlops_provider.runtime.context import AnyContext
from airflow_mlops_provider.storage.artifacts import ArtifactStore
from airflow_mlops_provider.storage.ledger import Chain, chained, head_number
from airflow_mlops_provider.storage.repairs import Repair, aside_key, repair_key, repair_keys

NAMED, LONGEST = 10, 500


def repair(context: AnyContext, reason: str, by: str) -> Repair | None:
    """Restore what was changed in or taken out of a ledger, and move aside what does not belong there.

    What is to be done is kept first, in MLflow and beside the ledger, so that a call that was killed is finished by the
    next one. Nothing is deleted.

    :return: the record of what was done; None if nothing was wrong.
    :raises IntegrityError: if MLflow's copies don't make the ledger whose head it keeps; nothing was changed then.
    """
    if len(reason) > LONGEST:
        raise ConfigurationError(f"a reason has at most {LONGEST} characters, not {len(reason)}")
    with one_at_a_time(context):
        ledger = CheckedLedger(context)
        shown, kept = ledger.mirror.read(), ledger.mirror.kept()
        records = known_repairs(shown)
        begun = next((record for record in records if record.ended is None), None)
        there = _present(ledger, begun)
        chain = _right(ledger, there, shown, kept)
        right = {ledger.file(number): data for number, data in enumerate(chain.data)}
        right |= {repair_key(ledger.product, record.name): record.to_file() for record in records if record.ended}
        other, strays = kept.unlike(chain), [*kept.strays, *kept.beyond(len(chain.entries))]
        what = [*_differing(ledger, right, there), *_wrong_head(chain, shown), *_wrong_copies(other, strays)]
        if not what and begun is None:
            return None
        what += [f"finished by {by}: {reason}"] if begun else []
        record = begun or Repair(at=datetime.now(UTC), by=by, reason=reason, what=())
        record = record.model_copy(update={"what": tuple(dict.fromkeys((*record.what, *what)))})
        _keep(ledger, record)
        _restore(ledger.store, right, there, lambda key: aside_key(ledger.product, record.name, key))
        ledger.mirror.follow(ledger, lambda now, _: _same(ledger, now, chain))
        ledger.mirror.replace(chain, other, strays)
        ledger.mirror.complete(chain)
        record = record.model_copy(update={"ended": datetime.now(UTC)})
        _keep(ledger, record)
        return record


def known_repairs(shown: Shown) -> list[Repair]:
    """Return the repairs of which MLflow keeps a record that can be read, oldest first."""
    records = []
    for name, data in sorted(shown.repairs.items()):
        with suppress(ValidationError):
            record = Repair.from_file(data)
            if record.name == name:
                records.append(record)
    return records


def _present(ledger: CheckedLedger, begun: Repair | None) -> dict[str, bytes]:
    """Return the files of a ledger and of its repairs, whatever they are, but that of one that is being done."""
    keys = {*ledger.store.list(ledger.prefix), *repair_keys(ledger.store, ledger.product)}
    keys -= {repair_key(ledger.product, begun.name)} if begun else set()
    return {key: ledger.store.read(key) for key in sorted(keys)}


def _right(ledger: CheckedLedger, there: Mapping[str, bytes], shown: Shown, kept: Kept) -> Chain:
    """Return the ledger as it has to be: that of which two agree, of files, copies and head."""
    with suppress(IntegrityError):
        whole = ledger.read()
        if shown.head == whole.head or kept.entries == dict(enumerate(whole.data)):
            return whole
    last, gone = head_number(shown.head), list[int]()
    if last < 0:
        raise IntegrityError(
            f"MLflow keeps no head of the ledger of {ledger.product}, nor copies of all its entries: bring MLflow's "
            "database or the artifact root back from a backup; or, if the ledger is right as it is, "
            f"airflow mlops adopt {ledger.product}"
        )
    files = list[tuple[str, bytes]]()
    for number in range(last + 1):
        key, copy = ledger.file(number), kept.entries.get(number)
        data = there.get(key) if copy is None else copy
        if data is None:
            gone.append(number)
        else:
            files.append((key if copy is None else f"MLflow's copy of {key}", data))
    if gone:
        raise IntegrityError(
            f"{numbered(gone)} of the ledger of {ledger.product} are gone, and MLflow keeps no copy of them, as their "
            "version was deleted there or an earlier release entered them: bring those files back from a backup"
        )
    chain = _attested(ledger, files, shown)
    while (data := there.get(ledger.file(len(files)))) is not None:
        files.append((ledger.file(len(files)), data))
        try:
            longer = chained(ledger.product, files)
        except IntegrityError:
            break
        if kept.entries.get(len(files) - 1) != data and ledger.unfounded(longer.entries, shown):
            break
        chain = longer
    if beyond := kept.beyond(len(chain.entries)):
        raise IntegrityError(
            f"MLflow has tags {_tags(beyond)} beyond the head that it keeps, and the ledger of {ledger.product} has no "
            "such entries: look there who set them, or the head, and take away what is wrong"
        )
    return chain


def _attested(ledger: CheckedLedger, files: list[tuple[str, bytes]], shown: Shown) -> Chain:
    ours = [name for name, _ in files if name.startswith(ledger.prefix)]
    without = f" (MLflow has no copies of {len(ours)} entries, the first of them {ours[0]})" if ours else ""
    try:
        chain = chained(ledger.product, files)
        ledger.after(chain, shown.head)
    except IntegrityError as error:
        raise IntegrityError(
            f"nothing was changed, as what MLflow keeps of the ledger of {ledger.product} isn't whole{without}: {error}"
        ) from None
    return chain


def _differing(ledger: CheckedLedger, right: Mapping[str, bytes], there: Mapping[str, bytes]) -> list[str]:
    changed = [key for key, data in there.items() if key in right and right[key] != data]
    foreign, gone = sorted(there.keys() - right.keys()), sorted(right.keys() - there.keys())
    lists = {"brought back what was gone": gone, "brought back what was changed": changed, "moved aside": foreign}
    return [
        f"{done}: {_some([key.removeprefix(f'{ledger.product}/')[:100] for key in keys])}"
        for done, keys in lists.items()
        if keys
    ]


def _wrong_head(chain: Chain, shown: Shown) -> list[str]:
    return [] if shown.head == chain.head else [f"set MLflow's head, which was {(shown.head or 'gone')[:80]!r}"]


def _wrong_copies(other: list[int], strays: list[tuple[int, str]]) -> list[str]:
    lines = [f"set MLflow's copies of {numbered(other)}, which were others"] if other else []
    return [*lines, *([f"took away from MLflow what is no copy: {_tags(strays)}"] if strays else [])]


def _tags(tags: list[tuple[int, str]]) -> str:
    return _some([f"{key[:40]} of version {version}" for version, key in tags])


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _same(ledger: CheckedLedger, now: Chain, right: Chain) -> None:
    if now.data != right.data:
        raise IntegrityError(f"the ledger of {ledger.product} was changed while it was repaired; repair it again")


def _keep(ledger: CheckedLedger, record: Repair) -> None:
    """Keep a record, first where who can write the ledger can't rewrite it."""
    ledger.mirror.keep_repair(record.name, record.to_file())
    ledger.store.write(repair_key(ledger.product, record.name), record.to_file())


def _restore(
    store: ArtifactStore, right: Mapping[str, bytes], there: Mapping[str, bytes], aside: Callable[[str], str]
) -> None:
    for key, data in there.items():
        if right.get(key) != data:
            store.write(aside(key), data)
            if key not in right:
                store.remove(key)
    for key, data in right.items():
        if there.get(key) != data:
            store.write(key, data)
