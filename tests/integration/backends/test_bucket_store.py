"""The artifact root as a bucket, against a real S3 server over HTTP (moto's, in a process of its own)."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest

from airflow_mlops_provider.backends.tables.landing import Landing
from airflow_mlops_provider.exceptions import ConfigurationError, ConflictError, SourceError
from airflow_mlops_provider.lifecycle.release.registry import Status
from airflow_mlops_provider.runtime.checkpoints import Checkpoints
from airflow_mlops_provider.storage.artifacts import BucketStore, FolderStore, content_hash, open_store
from airflow_mlops_provider.storage.ledger import Ledger
from airflow_mlops_provider.storage.locks import Lease, store_lock
from tests.factories.bucket import s3_server
from tests.factories.ledger import PRODUCT, TO_READY, bring, check_unbroken, race_processes, race_threads, run_together

ROOT = Path(__file__).parents[3]
_BUCKETS = (f"bucket-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def endpoint() -> Iterator[dict[str, str]]:
    """A running S3 server, as the environment variables that lead to it."""
    with s3_server() as env:
        yield env


@pytest.fixture
def bucket(endpoint: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an empty bucket that the environment's S3 server holds."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in endpoint.items():
        monkeypatch.setenv(name, value)
    name = next(_BUCKETS)
    boto3.client("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture(params=["", "/deep/er", "/100% ü"])
def store(request: pytest.FixtureRequest, bucket: str) -> BucketStore:
    """An artifact root at a bucket's own root, below a prefix, and below one with characters that URIs quote."""
    opened = open_store(f"s3://{bucket}{request.param}")
    assert isinstance(opened, BucketStore)
    return opened


def keys_in(bucket: str) -> list[str]:
    """Return every key that the server holds in a bucket."""
    return sorted(entry["Key"] for entry in boto3.client("s3").list_objects_v2(Bucket=bucket).get("Contents", []))


def test_what_is_written_is_read(store: BucketStore) -> None:
    """A key gives back its bytes, the last ones written, and lies under the root's prefix."""
    store.write("a/b.json", b"one")
    store.write("a/b.json", b"two")
    assert store.read("a/b.json") == b"two"
    assert store.exists("a/b.json")
    assert not store.exists("a")
    assert not store.exists("a/c.json")
    assert keys_in(store.bucket) == ["/".join(filter(None, (store.prefix, "a/b.json")))]
    with pytest.raises(FileNotFoundError, match=r"a/c\.json"):
        store.read("a/c.json")


def test_what_is_removed_is_gone(store: BucketStore) -> None:
    """Removing takes away every file of a folder and of no other; that there is none is no error."""
    for key in ("b/2", "b/c/4", "bb/3"):
        store.write(key, b"")
    store.remove("b")
    store.remove("nowhere")
    assert store.list("") == ["bb/3"]


def test_checkpoints_in_a_bucket(store: BucketStore) -> None:
    """As in a folder: the last whole one is found, a damaged one is passed over, two are kept, and all are cleared."""
    checkpoints = Checkpoints(store, "shop/train/abc")
    for epoch in (1, 2, 3):
        checkpoints.save(epoch, lambda folder, epoch=epoch: (folder / "state").write_text(f"epoch {epoch}"))
    assert len(store.list(checkpoints.prefix)) == 2
    store.write(store.list(checkpoints.prefix)[-1], b"half")
    found = checkpoints.latest()
    assert found is not None and (found[0], (found[1] / "state").read_text()) == (2, "epoch 2")
    checkpoints.clear()
    assert checkpoints.latest() is None


def test_listing_a_folder(store: BucketStore) -> None:
    """A listing is sorted, whole, relative to the root and of the folder alone; the empty prefix is the root."""
    for key in ("b/2", "b/1", "bb/3", "b/c/4", "5"):
        store.write(key, b"")
    boto3.client("s3").put_object(Bucket=store.bucket, Key="deep/erlong", Body=b"")  # a sibling, not inside
    assert store.list("b") == ["b/1", "b/2", "b/c/4"]
    assert [key for key in store.list("") if key != "deep/erlong"] == ["5", "b/1", "b/2", "b/c/4", "bb/3"]
    assert ("deep/erlong" in store.list("")) is (store.prefix == "")
    assert store.list("nothing") == []


def test_a_long_listing_is_whole(bucket: str) -> None:
    """More keys than one answer of the server holds are all listed."""
    store = BucketStore(f"s3://{bucket}/many")
    client = store.client
    for number in range(1005):
        client.put_object(Bucket=bucket, Key=f"many/k/{number:05d}", Body=b"")
    assert store.list("k") == [f"k/{number:05d}" for number in range(1005)]


@pytest.mark.parametrize("key", ["/x", "../x", "a/../../x"])
def test_keys_stay_inside(store: BucketStore, key: str, tmp_path: Path) -> None:
    """No key leaves the root, in whatever direction."""
    (tmp_path / "file").write_bytes(b"")
    attempts: list[Callable[[], object]] = [
        lambda: store.read(key),
        lambda: store.write(key, b""),
        lambda: store.write_new(key, b""),
        lambda: store.exists(key),
        lambda: store.list(key),
        lambda: store.upload(tmp_path, key),
        lambda: store.download(key, tmp_path),
    ]
    for attempt in attempts:
        with pytest.raises(ConfigurationError, match="leaves the artifact root"):
            attempt()
    assert keys_in(store.bucket) == []


def test_of_two_creators_one_wins(store: BucketStore) -> None:
    """Two threads create the same key at once, fifteen times: one does, one is told, the winner's bytes stay."""
    for number in range(15):
        together, won, told = threading.Barrier(2), [], []

        def create(name: bytes, key: str = f"taken/{number}", gate: threading.Barrier = together) -> None:
            gate.wait()
            try:
                store.write_new(key, name)
                won.append(name)  # noqa: B023  # joined before the next round
            except ConflictError as error:
                told.append(str(error))  # noqa: B023  # joined before the next round

        threads = [threading.Thread(target=create, args=(name,)) for name in (b"one", b"two")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(won) == 1
        assert told == [f"taken/{number} exists already under {store.uri}"]
        assert store.read(f"taken/{number}") == won[0]


@pytest.mark.parametrize("prefix", ["", "some/where"])
def test_a_folder_goes_up_and_comes_down(store: BucketStore, tmp_path: Path, prefix: str) -> None:
    """What was uploaded comes down with the same names, contents and hash as through a folder's store."""
    source, down = tmp_path / "source", tmp_path / "down"
    for name, data in {"a.parquet": b"1" * 100_000, "sub/ü b.json": b"2", "manifest.json": b"{}"}.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    if prefix:
        store.upload(source, prefix)
        assert store.list(prefix) == [f"{prefix}/a.parquet", f"{prefix}/sub/ü b.json"]
    else:
        for key in ("a.parquet", "sub/ü b.json"):
            store.write(key, (source / key).read_bytes())
    folder = FolderStore(tmp_path / "root")
    folder.upload(source, "x")
    came = store.download(prefix, down)
    assert content_hash(came) == content_hash(source) == content_hash(folder.download("x", down))
    assert sorted(path.relative_to(came).as_posix() for path in came.rglob("*") if path.is_file()) == [
        "a.parquet",
        "sub/ü b.json",
    ]
    with pytest.raises(FileNotFoundError, match="nothing lies under some/else"):
        store.download("some/else", tmp_path / "none")


def test_of_two_threads_one_moves(store: BucketStore) -> None:
    """Two threads that move one version in ways that exclude each other: one wins, and no number is left out."""
    race_threads(store, rounds=3)


def test_of_two_processes_one_moves(bucket: str) -> None:
    """The same with two processes that share nothing but the bucket."""
    race_processes(f"s3://{bucket}/root", rounds=3, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_a_ledger_in_a_bucket(store: BucketStore) -> None:
    """It grows entry by entry, says who is live, and the same move again changes nothing."""
    ledger = Ledger(store, PRODUCT)
    assert ledger.live() is None
    made = bring(ledger, 1, *TO_READY, Status.LIVE)
    assert bring(ledger, 1, Status.LIVE) == made
    assert ledger.live() == made.version
    check_unbroken(ledger.entries())
    assert len(ledger.entries()) == 4


def test_a_lease_is_held_by_one(store: BucketStore) -> None:
    """Of four that want the same lease at once each gets it alone, and what was left of earlier ones is removed."""
    inside, most, rounds = [0], [0], [0]

    def work() -> None:
        with store_lock(store, "shop/serving/deploy"):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            rounds[0] += 1
            time.sleep(0.05)
            inside[0] -= 1

    run_together([work] * 4)
    assert (most, rounds) == ([1], [4])
    assert len(store.list("shop/serving/deploy")) == 1


def test_a_lease_whose_holder_died_runs_out(store: BucketStore) -> None:
    """A lease that nobody renews is taken over once it has expired, one that is renewed is not."""
    # A busy machine may be seconds late with a renewal, so the one that is renewed lasts for some.
    dead, alive = Lease(store, "a", seconds=0.5), Lease(store, "b", seconds=4.0)
    assert dead._try()
    alive.acquire()
    after = Lease(store, "a")
    after.acquire(timeout=20)
    after.release()
    with pytest.raises(ConflictError, match=r"somebody else holds b/00000000/lease\.json"):
        Lease(store, "b").acquire(timeout=6.0)
    alive.release()
    last = Lease(store, "b")
    last.acquire(timeout=5)
    last.release()


def test_an_object_is_a_whole_delivery(store: BucketStore, tmp_path: Path) -> None:
    """In a bucket a delivery is whole as soon as it is there; one that is not there can be waited for."""
    landing = Landing(store.uri)
    assert landing.pending("sales/a.csv", 60) == "has not been delivered yet"
    with pytest.raises(SourceError, match=r"sales/a\.csv has not been delivered yet"):
        landing.fetch("sales/a.csv", tmp_path, 60)
    store.write("sales/a.csv", b"shop\n")
    assert landing.pending("sales/a.csv", 60) is None
    (copy,) = landing.fetch("sales/a.csv", tmp_path, 60).values()
    assert copy.read_bytes() == b"shop\n"


def test_many_objects_are_a_delivery(store: BucketStore, tmp_path: Path) -> None:
    """A folder and a pattern mean the same objects, in the order of their names; what is no data is none of them."""
    landing = Landing(store.uri)
    for key in ("sales/day=1/b.csv", "sales/day=1/a.csv", "sales/day=1/_SUCCESS", "sales/day=10/a.csv"):
        store.write(key, key.encode())
    for pattern in ("sales/day=1/", "sales/day=1/*.csv"):
        copies = landing.fetch(pattern, tmp_path)
        assert [*copies] == ["sales/day=1/a.csv", "sales/day=1/b.csv"]
        assert [copy.read_text() for copy in copies.values()] == [*copies]
    assert landing.pending("sales/day=2/") == "has not been delivered yet"
