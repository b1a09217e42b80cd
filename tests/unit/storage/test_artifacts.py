"""The artifact root as a folder: whole writes, keys that stay inside, and folders of any name."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from airflow_mlops_provider.exceptions import ConfigurationError, ConflictError
from airflow_mlops_provider.storage import artifacts
from airflow_mlops_provider.storage.artifacts import BucketStore, FolderStore, content_hash, open_store

NAMES = ["plain", "with space", "100%", "a%20b", "q?uery", "frag#ment", "Größe-数据", "plus+and&"]


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    """An artifact root in an empty folder."""
    return FolderStore(tmp_path / "root")


def everything(folder: Path) -> list[str]:
    """Return every file below a folder, hidden ones included."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_what_is_written_is_read(store: FolderStore) -> None:
    """A key gives back its bytes, the last ones written, and leaves nothing else behind."""
    store.write("a/b.json", b"one")
    store.write("a/b.json", b"two")
    assert store.read("a/b.json") == b"two"
    assert store.exists("a/b.json")
    assert not store.exists("a")
    assert everything(store.root) == ["a/b.json"]
    with pytest.raises(FileNotFoundError):
        store.read("a/c.json")


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("before", [None, b"old"])
def test_a_write_that_fails_leaves_nothing(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch, step: str, before: bytes | None
) -> None:
    """A disk that fails in the middle of a write leaves what was there before, and no half of the new."""
    if before is not None:
        store.write("a/b", before)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, step, fail)
        with pytest.raises(OSError, match="No space left"):
            store.write("a/b", b"new")
    assert everything(store.root) == ([] if before is None else ["a/b"])
    assert store.list("") == everything(store.root)
    if before is not None:
        assert store.read("a/b") == before


def test_a_writer_killed_in_the_middle_leaves_nothing_visible(store: FolderStore) -> None:
    """A process killed between its bytes and their name shows neither a key nor half of one."""
    store.write("a/b", b"old")
    kill = "os.kill(os.getpid(), signal.SIGKILL)"
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from airflow_mlops_provider.storage.artifacts import FolderStore\n"
        f"os.fsync = lambda handle: {kill}\n"
        "FolderStore(Path(sys.argv[1])).write(sys.argv[2], b'x' * 100_000)\n"
    )
    for key in ("a/b", "a/c"):
        ended = subprocess.run([sys.executable, "-c", script, str(store.root), key], check=False, timeout=60)
        assert ended.returncode == -signal.SIGKILL
    assert len(everything(store.root)) == 3  # the killed writes' temporary files are there, under no key
    assert store.list("") == store.list("a") == ["a/b"]
    assert store.read("a/b") == b"old"
    assert content_hash(store.root) == content_hash(store.download("", store.root))
    assert [path.name for path in artifacts.files_of(store.root)] == ["b"]


def test_new_means_new(store: FolderStore) -> None:
    """A key can be created once; the second creator is told so, and the first one's bytes stay."""
    store.write_new("ledger/0", b"first")
    with pytest.raises(ConflictError, match="ledger/0 exists already") as told:
        store.write_new("ledger/0", b"second")
    assert told.value.retryable
    assert store.read("ledger/0") == b"first"
    assert everything(store.root) == ["ledger/0"]


def test_of_many_creators_one_wins(store: FolderStore) -> None:
    """Eight threads that create the same key at once: one does, seven are told, and its bytes are whole."""
    together, won = threading.Barrier(8), []

    def create(number: int) -> None:
        together.wait()
        try:
            store.write_new("taken", str(number).encode() * 10_000)
        except ConflictError:
            return
        won.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.read("taken") == str(won[0]).encode() * 10_000


@pytest.mark.parametrize("key", ["/etc/passwd", "../x", "a/../../x", "a/..", ".."])
@pytest.mark.parametrize("method", ["read", "exists", "list", "write", "write_new", "download", "upload"])
def test_keys_stay_inside(store: FolderStore, tmp_path: Path, key: str, method: str) -> None:
    """No method follows a key out of the root; the message shows the key."""
    (tmp_path / "root" / "a").mkdir(parents=True)
    (tmp_path / "x").write_bytes(b"secret")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"")
    extra = {"write": (b"",), "write_new": (b"",), "download": (tmp_path,)}
    arguments = (tmp_path / "folder", key) if method == "upload" else (key, *extra.get(method, ()))
    with pytest.raises(ConfigurationError, match="leaves the artifact root"):
        getattr(store, method)(*arguments)
    assert (tmp_path / "x").read_bytes() == b"secret"


@pytest.mark.parametrize("name", NAMES)
def test_a_root_of_any_name(tmp_path: Path, name: str) -> None:
    """A folder's path and its URI open the same store, whatever characters its name has."""
    root = tmp_path / name
    store = open_store(str(root))
    assert isinstance(store, FolderStore)
    store.write("a/ü b%20c.json", b"1")
    assert (root / "a" / "ü b%20c.json").read_bytes() == b"1"
    again = open_store(store.uri)
    assert isinstance(again, FolderStore)
    assert again.root == root
    assert again.uri == store.uri
    assert again.list("a") == ["a/ü b%20c.json"]
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("uri", ["", "gs://bucket/x", "s3://", "s3:///x", "http://a/b", "file://host/x", "file://"])
def test_no_artifact_root(uri: str) -> None:
    """A URI that is neither a folder nor an S3 bucket is refused, with the forms that would do."""
    with pytest.raises(ConfigurationError, match=r"is no artifact root.*give .*(file:///folder|s3://bucket/prefix)"):
        open_store(uri)


@pytest.mark.parametrize(
    ("uri", "bucket", "prefix"),
    [
        ("s3://b", "b", ""),
        ("s3://b/", "b", ""),
        ("s3://b/a/c/", "b", "a/c"),
        ("s3://b/a#1?x%20y", "b", "a#1?x%20y"),
    ],
)
def test_a_bucket_and_its_prefix(uri: str, bucket: str, prefix: str) -> None:
    """An S3 URI is split into bucket and prefix without losing a character, and without connecting."""
    store = open_store(uri)
    assert isinstance(store, BucketStore)
    assert (store.bucket, store.prefix) == (bucket, prefix)


def test_listing_a_folder(store: FolderStore) -> None:
    """A listing is sorted, whole, of the folder alone, and empty where nothing is."""
    for key in ("b/2", "b/1", "bb/3", "b/c/4", "5"):
        store.write(key, b"")
    assert store.list("b") == ["b/1", "b/2", "b/c/4"]
    assert store.list("") == ["5", "b/1", "b/2", "b/c/4", "bb/3"]
    assert store.list("nothing") == []


def test_links_that_lead_nowhere_are_no_files(store: FolderStore) -> None:
    """One to nothing, one to itself, and one to a folder, which may lead back to where it lies."""
    store.write("here/file", b"x")
    for name, target in {"nothing": "gone", "itself": "itself", "around": ".."}.items():
        (store.root / "here" / name).symlink_to(target)
    (store.root / "here/again").symlink_to("file")
    assert store.list("here") == [*store.marks("here")] == ["here/again", "here/file"]


def test_a_folder_goes_up_and_comes_down(store: FolderStore, tmp_path: Path) -> None:
    """What was uploaded has the same names, contents and hash; manifests and unfinished writes are left out."""
    source = tmp_path / "source"
    for name, data in {"a.parquet": b"1", "sub/b": b"2", "manifest.json": b"{}", ".tmp-1": b"half"}.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    store.upload(source, "to/here")
    assert everything(store.root) == ["to/here/a.parquet", "to/here/sub/b"]
    assert content_hash(store.download("to/here", tmp_path / "unused")) == content_hash(source)
    with pytest.raises(FileNotFoundError, match="nothing lies under to/there"):
        store.download("to/there", tmp_path / "unused")


def test_a_hash_follows_names_and_contents(tmp_path: Path) -> None:
    """One byte or one name more or less is another hash; a file's time is not."""
    (tmp_path / "a").write_bytes(b"1")
    hashes = [content_hash(tmp_path)]
    os.utime(tmp_path / "a", (1, 1))
    assert content_hash(tmp_path) == hashes[0]
    (tmp_path / "a").write_bytes(b"2")
    hashes.append(content_hash(tmp_path))
    (tmp_path / "a").rename(tmp_path / "b")
    hashes.append(content_hash(tmp_path))
    (tmp_path / "c").write_bytes(b"")
    hashes.append(content_hash(tmp_path))
    assert len(set(hashes)) == 4


def test_others_may_read_what_the_umask_lets_them(store: FolderStore) -> None:
    """A written file has the permissions that any new file gets, not a temporary file's."""
    store.write("a", b"")
    (store.root / "b").touch()
    assert stat.S_IMODE((store.root / "a").stat().st_mode) == stat.S_IMODE((store.root / "b").stat().st_mode)
