"""Ways to cheat a product's ledger, pointer or registry: each is refused or named, and one check or repair ends it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.backends.model_server import releases
from airflow_mlops_provider.backends.model_server.client import server_state
from airflow_mlops_provider.backends.tracking.mlflow.client import MODEL_HASH
from airflow_mlops_provider.backends.tracking.mlflow.mirror import DEPLOYING, ENTRY, HEAD, pack
from airflow_mlops_provider.exceptions import IntegrityError
from airflow_mlops_provider.jobs.deployment.verify import Verified, verify
from airflow_mlops_provider.jobs.registry.repair import repair
from airflow_mlops_provider.jobs.registry.standing import CheckedLedger
from airflow_mlops_provider.lifecycle.records.erasure import ErasedRows
from airflow_mlops_provider.lifecycle.references import ModelVersion, Report
from airflow_mlops_provider.lifecycle.release.registry import Status, live_version
from airflow_mlops_provider.runtime import runner
from airflow_mlops_provider.runtime.context import JobContext
from airflow_mlops_provider.runtime.definition import find_job
from airflow_mlops_provider.runtime.inputs import Inputs
from airflow_mlops_provider.storage.artifacts import file_hash
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.repairs import Repair, repair_key, repair_keys, repairs
from airflow_mlops_provider.ui.reading import record
from tests.factories.deploy import DeployWorld
from tests.factories.ports import free_port
from tests.factories.serving import NAME

pytestmark = pytest.mark.timeout(900)
RETIRED, LIVE, REJECTED, READY, UNDECIDED = range(1, 6)


class CheatWorld(DeployWorld):
    """Version 1 is retired, 2 live, 3 rejected, 4 production-ready, 5 registered; jobs run in this process."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, free_port())
        self.versions = {number: self.ready(number % 3) for number in (RETIRED, LIVE)}
        for number in (RETIRED, LIVE):
            told = self.deploy(self.versions[number])
            assert told.state == "success", told.failure
        self.versions[REJECTED] = self.ready(0, upto=Status.STAGING)
        evidence = self.ledger.entries()[-1].evidence
        self.ledger.move(self.versions[REJECTED], Status.REJECTED, reason="weak", by="tests", evidence=evidence)
        self.versions[READY] = self.ready(1)
        self.versions[UNDECIDED] = self.ready(2, upto=Status.REGISTERED)
        self.folder = self.root / NAME / "ledger"
        self.kept = self.files()

    def files(self) -> dict[str, bytes]:
        """Return the ledger's files."""
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in self.folder.rglob("*.*")}

    def context(self) -> Any:
        """Return what verifying and repairing are given."""
        spec, job = self.spec("reconcile"), find_job("reconcile")
        return JobContext(spec, self.root, job.read(spec), Inputs(self.store))

    def verified(self) -> Verified:
        """Look at the ledger and all that follows it."""
        return verify(self.context())

    def reconciled(self) -> Report:
        """Reconcile in this process."""
        report = runner.run(self.spec("reconcile")).result
        assert isinstance(report, Report)
        return report

    def refusal(self, version: ModelVersion) -> str:
        """Return why a version is not deployed."""
        failure = runner.run(self.spec("deploy", version=version, explicit=True)).failure
        return failure.message if failure else ""

    def check_one_truth(self) -> None:
        """Server, pointer, ledger, page and MLflow call the same version live as at the beginning."""
        assert self.truth() == LIVE
        page = record(self.store, NAME, lambda _: True)
        live = live_version(page.entries)
        assert live is not None and live.version == LIVE

    def check_named(self, named: str, hint: str) -> None:
        """Verification names what is wrong, and what to do about it."""
        damage = self.verified().damage
        assert any(named in line.what and hint in line.next for line in damage), (named, damage)

    def check_repaired(self, reason: str) -> None:
        """One repair brings all back, with a record of it; then there is nothing to be found."""
        done = repair(self.context(), reason, "ada")
        assert done is not None and (done.by, done.reason) == ("ada", reason) and done.ended and done.what
        assert repairs(self.store, NAME)[-1] == done
        assert self.files() == self.kept
        report = self.reconciled()
        assert report.passed, report.broken
        self.check_one_truth()
        assert self.verified().damage == ()
        assert repair(self.context(), "again", "ada") is None

    def file(self, number: int) -> Path:
        """Return an entry's file; from the end if the number is negative."""
        return self.folder / sorted(self.kept)[number]

    def tag(self, key: str, value: str | None, version: int | None = None) -> None:
        """Set or take away a tag in MLflow."""
        client, of = self.mirror.client, (NAME,) if version is None else (NAME, str(version))
        what = "registered_model_tag" if version is None else "model_version_tag"
        getattr(client, f"{'set' if value is not None else 'delete'}_{what}")(
            *of, key, *([value] if value is not None else [])
        )

    def append(self, number: int, to: Status, **evidence: Any) -> str:
        """Append a well-made entry, as who can write the artifact root can, and return its file's name."""
        made = self.ledger.move(self.versions[number], to, reason="of course", by="nobody", evidence=evidence)
        return f"{made.sequence:08d}.json"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CheatWorld]:
    """The world, whose server runs."""
    one = CheatWorld(tmp_path_factory.mktemp("cheats"))
    try:
        yield one
    finally:
        one.close()


@pytest.fixture
def world(made: CheatWorld) -> Iterator[CheatWorld]:
    """The same, whole and of one truth, also after a test that failed."""
    made.check_one_truth()
    yield made
    if made.files() != made.kept:
        shutil.rmtree(made.folder)
        for name, data in made.kept.items():
            made.store.write(f"{NAME}/ledger/{name}", data)
        made.mirror.follow(made.ledger)
        made.reconciled()


def edit(file: Path, **fields: Any) -> str:
    """Change some fields of an entry."""
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}, indent=1))
    return file.name


# --- the ledger's files, and the registry's word on them: nothing goes live until they are brought back


def edited(world: CheatWorld) -> str:
    """An entry in the middle says another reason."""
    return edit(world.file(3), reason="approved by the board")


def last_edited(world: CheatWorld) -> str:
    """The last entry, which no later one is chained to, was made by somebody else."""
    return edit(world.file(-1), by="ada")


def promoted_by_hand(world: CheatWorld) -> str:
    """A rejection becomes an approval."""
    rejected = next(e for e in world.ledger.entries() if e.status is Status.REJECTED)
    return edit(world.file(rejected.sequence), status="production-ready")


def removed(world: CheatWorld) -> str:
    """An entry in the middle is gone."""
    world.file(4).unlink()
    return world.file(4).name


def cut_off(world: CheatWorld) -> str:
    """The last two entries are gone, as if they had never been."""
    for number in (-1, -2):
        world.file(number).unlink()
    return world.file(-2).name


def all_removed(world: CheatWorld) -> str:
    """The whole ledger is gone."""
    shutil.rmtree(world.folder)
    return world.file(0).name


def emptied(world: CheatWorld) -> str:
    """An entry is an empty file."""
    world.file(2).write_text("")
    return world.file(2).name


def swapped(world: CheatWorld) -> str:
    """Two entries have changed their names."""
    one, other = world.file(1), world.file(2)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second), other.write_bytes(first)
    return one.name


def renamed(world: CheatWorld) -> str:
    """An entry lies under another number, which leaves a gap."""
    world.file(-1).rename(world.folder / "00000900.json")
    return "00000900.json"


def foreign_file(world: CheatWorld) -> str:
    """A file that is no entry lies among them."""
    (world.folder / "notes").mkdir()
    (world.folder / "notes" / "00000001.json").write_text("{}")
    return "notes/00000001.json"


def another_products(world: CheatWorld) -> str:
    """The ledger of another product, whole in itself, lies in its place."""
    other = Ledger(world.store, "other_shop")
    for status in (Status.REGISTERED, Status.STAGING, Status.PRODUCTION_READY, Status.LIVE):
        other.move(world.versions[REJECTED].model_copy(update={"name": "other_shop"}), status, reason="", by="")
    shutil.rmtree(world.folder)
    (world.root / "other_shop" / "ledger").rename(world.folder)
    return "00000000.json is of 'other_shop'"


def written_anew(world: CheatWorld) -> str:
    """All entries are made anew, well chained, with the rejected version as the live one."""
    entries = world.ledger.entries()
    shutil.rmtree(world.folder)
    for entry in entries:
        status = Status.PRODUCTION_READY if entry.status is Status.REJECTED else entry.status
        world.ledger.move(entry.version, status, reason=entry.reason, by=entry.by, evidence=entry.evidence)
    world.ledger.move(world.versions[REJECTED], Status.LIVE, reason="", by="")
    return "is not the one whose digest was kept"


def live_without_deployment(world: CheatWorld) -> str:
    """A well-chained entry says that another version answers."""
    return world.append(READY, Status.LIVE, url=world.url)


def brought_back(world: CheatWorld) -> str:
    """A well-chained entry brings a retired version back, and the pointer names it."""
    name = world.append(RETIRED, Status.PRODUCTION_READY, rollback=True)
    releases.request(world.store, NAME, releases.Release.of(world.versions[RETIRED]))
    return name


def switched_off(world: CheatWorld) -> str:
    """A well-chained entry retires the live version, and none takes its place."""
    return world.append(LIVE, Status.RETIRED)


def never_trained(world: CheatWorld) -> str:
    """A well-chained entry registers a model of which there is no training."""
    invented = world.versions[LIVE].model_copy(update={"version": 9, "hash": "e" * 64, "uri": f"{world.store.uri}/x"})
    world.ledger.move(invented, Status.REGISTERED, reason="", by="")
    return world.file(-1).name.replace(f"{len(world.kept) - 1:08d}", f"{len(world.kept):08d}")


def borrowed_report(world: CheatWorld) -> str:
    """A well-chained entry takes a version through a gate by the report of another model."""
    report = next(e for e in world.ledger.entries() if e.version.version == RETIRED).evidence
    return world.append(UNDECIDED, Status.STAGING, **report)


def approved_without_report(world: CheatWorld) -> str:
    """Well-chained entries approve a version, and name no report."""
    name = world.append(UNDECIDED, Status.STAGING)
    world.append(UNDECIDED, Status.PRODUCTION_READY)
    return name


def unknown_status(world: CheatWorld) -> str:
    """A well-chained entry has a status that no gate knows."""
    chain = world.ledger.read()
    last = chain.entries[-1]
    fields = {"sequence": len(chain.entries), "previous": chain.digests[-1], "was": last.status.value}
    file = world.folder / f"{len(chain.entries):08d}.json"
    file.write_text(json.dumps({**last.to_json(), **fields, "status": "blessed"}))
    return file.name


def head_forged(world: CheatWorld) -> str:
    """The head in MLflow has another digest."""
    world.tag(HEAD, f"{len(world.kept) - 1}:{'0' * 64}")
    return "is not the one whose digest was kept"


def head_is_nonsense(world: CheatWorld) -> str:
    """The head in MLflow is none."""
    world.tag(HEAD, "latest")
    return "is no head: 'latest'"


def head_set_back(world: CheatWorld) -> str:
    """The head in MLflow is an earlier one: what came after would seem to be new."""
    world.tag(HEAD, world.ledger.read().head_at(2))
    world.tag(DEPLOYING, None)
    return "is not known to MLflow"


def copy_edited(world: CheatWorld) -> str:
    """MLflow's copy of an entry says something else."""
    entry = {**json.loads(world.file(2).read_text()), "reason": "of course"}
    world.tag(f"{ENTRY}00000002", pack(json.dumps(entry).encode()), RETIRED)
    return "copies of entries 2 are others"


def copy_is_nonsense(world: CheatWorld) -> str:
    """MLflow's copy of an entry is none."""
    world.tag(f"{ENTRY}00000002", "x", RETIRED)
    return f"{ENTRY}00000002 of version {RETIRED}"


def copy_planted(world: CheatWorld) -> str:
    """A well-made entry that the ledger does not have is planted among MLflow's copies, to be brought back one day."""
    chain, last = world.ledger.read(), len(world.kept)
    fields = {"sequence": last, "previous": chain.digests[-1], "was": "rejected", "status": "production-ready"}
    entry = {**chain.entries[-1].to_json(), **fields, "version": world.versions[REJECTED].to_json()}
    world.tag(f"{ENTRY}{last:08d}", pack(json.dumps(entry).encode()), REJECTED)
    return f"{ENTRY}{last:08d} of version {REJECTED}"


def copy_elsewhere(world: CheatWorld) -> str:
    """The copy of an entry lies at another version, too."""
    world.tag(f"{ENTRY}00000002", pack(world.file(2).read_bytes()), LIVE)
    return f"{ENTRY}00000002 of version {LIVE}"


def repair_denied(world: CheatWorld) -> str:
    """The record of an earlier repair is taken away."""
    (key, *_) = repair_keys(world.store, NAME)
    world.store.remove(key)
    return key


def repair_invented(world: CheatWorld) -> str:
    """A record tells of a repair that never was."""
    now = datetime.now(UTC)
    record = Repair(at=now, by="the board", reason="approved", what=(), ended=now)
    world.store.write(repair_key(NAME, record.name), record.to_file())
    return repair_key(NAME, record.name)


LEDGER: tuple[Callable[[CheatWorld], str], ...] = (
    edited, last_edited, promoted_by_hand, removed, cut_off, all_removed, emptied, swapped, renamed, foreign_file,
    another_products, written_anew, live_without_deployment, brought_back, switched_off, never_trained, borrowed_report,
    approved_without_report, unknown_status, head_forged, head_is_nonsense, head_set_back,
)  # fmt: skip


@pytest.mark.parametrize("cheat", LEDGER, ids=lambda cheat: cheat.__name__)
def test_a_ledger_that_is_not_whole(world: CheatWorld, cheat: Callable[[CheatWorld], str]) -> None:
    """It is named by verification and maintenance, nothing is deployed, and one repair brings it back, to the byte."""
    named = cheat(world)
    world.check_named(named, "repair")
    assert world.refusal(world.versions[READY])
    report = world.reconciled()
    assert not report.passed and any(named in line for line in report.broken), report.broken
    state = server_state(world.url)
    assert state is not None and state.version == LIVE
    world.check_repaired(cheat.__name__)


# --- what MLflow keeps beside the head: what goes on may go on, and a person is told


COPIES = (copy_edited, copy_is_nonsense, copy_planted, copy_elsewhere, repair_denied, repair_invented)


@pytest.mark.parametrize("cheat", COPIES, ids=lambda cheat: cheat.__name__)
def test_a_second_place_that_is_not_whole(world: CheatWorld, cheat: Callable[[CheatWorld], str]) -> None:
    """Verification names it, no copy is taken for the truth, and one repair puts it right."""
    if not repairs(world.store, NAME):
        edited(world)
        repair(world.context(), "to have one", "ada")
    named = cheat(world)
    world.check_named(named, "repair")
    assert world.files() == world.kept
    world.check_one_truth()
    world.check_repaired(cheat.__name__)


# --- what follows from a whole ledger: maintenance puts it right, and says what it was


def champion_moved(world: CheatWorld) -> str:
    """MLflow's champion is moved to another version."""
    world.mirror.set_alias(NAME, "champion", REJECTED)
    return "alias champion"


def champion_taken_away(world: CheatWorld) -> str:
    """MLflow shows no champion any more."""
    world.mirror.set_alias(NAME, "champion", None)
    return "alias champion"


def challenger_moved(world: CheatWorld) -> str:
    """MLflow's challenger is moved to a rejected version."""
    world.mirror.set_alias(NAME, "challenger", REJECTED)
    return "alias challenger"


def hash_edited(world: CheatWorld) -> str:
    """MLflow's version says that it is another model."""
    world.tag(MODEL_HASH, world.versions[REJECTED].hash, LIVE)
    return f"tag {MODEL_HASH} of version {LIVE}"


def copies_taken_away(world: CheatWorld) -> str:
    """MLflow's copies of two entries are gone."""
    for number in (1, 2):
        world.tag(f"{ENTRY}{number:08d}", None, RETIRED)
    return "MLflow had no copy of entries 1-2"


def pointer(number: int, **fields: Any) -> Callable[[CheatWorld], str]:
    """Return what has the release pointer name a version."""

    def cheat(world: CheatWorld) -> str:
        release = releases.Release.of(world.versions.get(number) or world.versions[LIVE])
        releases.request(world.store, NAME, release.model_copy(update={"version": number, **fields}))
        return f"the pointer named version {number}"

    return cheat


def pointer_to_another_model(world: CheatWorld) -> str:
    """The pointer names the live version's number with the rejected version's model."""
    other = world.versions[REJECTED]
    return pointer(LIVE, model_uri=other.uri, model_hash=other.hash)(world)


def pointer_outside_the_root(world: CheatWorld) -> str:
    """The pointer names a model outside the artifact root."""
    return pointer(LIVE, model_uri=world.code.as_uri())(world)


def pointer_and_announcement(world: CheatWorld) -> str:
    """The pointer names a rejected version, and MLflow is told that its deployment was begun."""
    world.mirror.announce(REJECTED)
    return pointer(REJECTED)(world)


def pointer_of_another_product(world: CheatWorld) -> str:
    """The pointer is that of another product."""
    release = releases.Release.of(world.versions[READY]).model_copy(update={"product": "other_shop"})
    world.store.write(f"{NAME}/serving/desired.json", release.model_dump_json().encode())
    return "names product 'other_shop'"


def pointer_is_nonsense(world: CheatWorld) -> str:
    """The pointer is no release."""
    world.store.write(f"{NAME}/serving/desired.json", b"{}")
    return "serving/desired.json is no Release"


def pointer_taken_away(world: CheatWorld) -> str:
    """There is no pointer any more."""
    world.store.remove(f"{NAME}/serving/desired.json")
    return "the pointer named no version"


FOLLOWING: dict[str, Callable[[CheatWorld], str]] = {
    **{cheat.__name__: cheat for cheat in (
        champion_moved, champion_taken_away, challenger_moved, hash_edited, copies_taken_away, pointer_to_another_model,
        pointer_outside_the_root, pointer_and_announcement, pointer_of_another_product, pointer_is_nonsense,
        pointer_taken_away,
    )},
    "pointer_to_retired": pointer(RETIRED),
    "pointer_to_rejected": pointer(REJECTED),
    "pointer_to_ready": pointer(READY),
    "pointer_to_undecided": pointer(UNDECIDED),
    "pointer_to_nothing": pointer(77),
}  # fmt: skip


@pytest.mark.parametrize("cheat", FOLLOWING)
def test_what_does_not_follow_the_ledger(world: CheatWorld, cheat: str) -> None:
    """One run of the maintenance puts it right and says what it was; verification finds nothing any more."""
    named = FOLLOWING[cheat](world)
    report = world.reconciled()
    assert report.passed and any(named in line for line in report.facts["repaired"]), (report.broken, report.facts)
    world.check_one_truth()
    verified = world.verified()
    assert (verified.damage, verified.notes) == ((), ())


# --- what an entry rests on


def test_a_changed_model(world: CheatWorld) -> None:
    """Bytes of a model that were changed are named with the entry that registered it, and it is not deployed."""
    file = next(Path(world.versions[READY].uri.removeprefix("file://")).rglob("model.*"))
    whole = file.read_bytes()
    file.write_bytes(whole + b" ")
    (entry,) = (e for e in world.ledger.entries() if e.version == world.versions[READY] and e.was is None)
    world.check_named(f"{entry.sequence:08d}.json", "backup")
    assert "is not what" in world.refusal(world.versions[READY])
    file.write_bytes(whole)
    world.check_one_truth()


def test_a_changed_report_and_a_request_to_forget(world: CheatWorld) -> None:
    """A report that was changed opens no gate, also where a record says that rows were only taken out of it."""
    version = world.versions[READY]
    entry = next(e for e in reversed(world.ledger.entries()) if e.version == version)
    file = Path(entry.evidence["report"].removeprefix("file://")) / "evaluation.json"
    whole, was = file.read_bytes(), file_hash(file)
    file.write_bytes(whole + b" ")
    world.check_named(f"{entry.sequence:08d}.json", "backup")
    key = file.relative_to(world.root / NAME.partition("/")[0]).as_posix()
    erased = ErasedRows(was=was, now=(file_hash(file),), rows={})
    world.store.write(f"{NAME}/forgotten/files/{NAME}/{key}.json", erased.to_file())
    assert "is not what it was" in world.refusal(version)
    file.write_bytes(whole)
    world.check_one_truth()


def test_an_entry_slipped_in(world: CheatWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that comes between the look at the ledger and MLflow's new head is not vouched for."""
    ledger = CheckedLedger(world.context())
    ledger.trusted()
    name = world.append(UNDECIDED, Status.STAGING)
    with pytest.raises(IntegrityError, match=name):
        ledger.show()
    assert world.mirror.read().head != world.ledger.head()
    world.check_repaired("slipped in")


def test_a_deployment_killed_before_mlflow_knew_and_the_next_one_begun(world: CheatWorld) -> None:
    """No cheat: what is live without MLflow's knowledge is told before another version is announced."""
    ledger = CheckedLedger(world.context())
    world.mirror.announce(READY)
    ledger.move(world.versions[READY], Status.LIVE, reason="it answers", by="tests")
    ledger.move(world.versions[LIVE], Status.RETIRED, reason="it went", by="tests")
    ledger.announce(RETIRED)
    assert len(ledger.trusted()) == len(world.kept) + 2
    assert ledger.mirror.read().head == ledger.head()
    back = runner.run(world.spec("deploy", version=world.versions[LIVE], explicit=True, rollback=True))
    assert back.state == "success", back.failure
    world.kept = world.files()
    world.check_one_truth()
