"""What artifact stores and forges have to keep, as tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from airflow_mlops_provider.backends.source.access import Credentials
from airflow_mlops_provider.backends.source.forges.base import PullRequest, pull_request
from airflow_mlops_provider.exceptions import ConfigurationError, ConflictError
from airflow_mlops_provider.lifecycle.records.spec import Repository
from airflow_mlops_provider.storage.artifacts import content_hash, open_store
from airflow_mlops_provider.storage.locks import store_lock
from airflow_mlops_provider.storage.stores.base import ArtifactStore

NAMES = ("plain", "with space", "100%", "a%20b", "q?uery", "frag#ment", "Größe-数据", "plus+and&")


def together(actions: Sequence[Callable[[], None]]) -> None:
    """Run some actions at the same time, each in a thread. :raises Exception: the first that one of them raises."""
    errors = list[BaseException]()
    gate = threading.Barrier(len(actions))

    def run(action: Callable[[], None]) -> None:
        gate.wait()
        try:
            action()
        except BaseException as error:  # noqa: BLE001  # raised again where the test sees it
            errors.append(error)

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    if errors:
        raise errors[0]


class ArtifactStoreContract:
    """What an artifact store keeps. Override :meth:`store`."""

    @pytest.fixture
    def store(self) -> ArtifactStore:
        """An empty store, made by :func:`.open_store` of its URI."""
        raise NotImplementedError

    @pytest.fixture
    def opened(self, store: ArtifactStore) -> Callable[[], ArtifactStore]:
        """Opens the same root once more, as another process would."""
        return lambda: open_store(store.uri)

    def test_what_is_written_is_read(self, store: ArtifactStore) -> None:
        """A key gives back its bytes, the last ones written, also where there are none in them."""
        for data in (b"one", b"", bytes(range(256)) * 100):
            store.write("a/b.json", data)
            assert store.read("a/b.json") == data
        assert store.exists("a/b.json")

    def test_what_is_not_there_is_missed(self, store: ArtifactStore) -> None:
        """Neither a key that nobody wrote nor the folder of one is anything to be read."""
        store.write("a/b.json", b"one")
        for key in ("a", "a/c.json", "a/b.json/d"):
            assert not store.exists(key)
            with pytest.raises((FileNotFoundError, IsADirectoryError)):
                store.read(key)

    @pytest.mark.parametrize("name", NAMES)
    def test_any_name_will_do(self, store: ArtifactStore, name: str) -> None:
        """A key is text: no character of it means anything but itself."""
        store.write(f"{name}/{name}.json", name.encode())
        assert store.list(name) == store.list("") == [f"{name}/{name}.json"]
        assert store.read(f"{name}/{name}.json") == name.encode()

    def test_a_mark_changes_with_the_bytes(self, store: ArtifactStore) -> None:
        """What is listed has a mark each, the same until its bytes change, or none where the store can't tell."""
        for key in ("a/one", "a/two", "b"):
            store.write(key, b"x")
        before = store.marks("a")
        assert [*before] == store.list("a")
        assert store.marks("a") == before
        store.write("a/one", b"y")
        after = store.marks("a")
        assert after["a/two"] == before["a/two"]
        assert after["a/one"] is None or after["a/one"] != before["a/one"]

    def test_it_is_found_by_its_uri(self, store: ArtifactStore, opened: Callable[[], ArtifactStore]) -> None:
        """The URI leads others to the same root, and has no slash at its end."""
        store.write("a/b.json", b"one")
        other = opened()
        assert (other.uri, type(other)) == (store.uri, type(store))
        assert other.read("a/b.json") == b"one"
        assert not store.uri.endswith("/")

    def test_new_means_new(self, store: ArtifactStore) -> None:
        """A key can be created once; the second creator learns it by an error that a retry may mend."""
        store.write_new("ledger/0", b"first")
        with pytest.raises(ConflictError, match="ledger/0 exists already"):
            store.write_new("ledger/0", b"second")
        assert store.read("ledger/0") == b"first"

    def test_of_many_creators_one_wins(self, store: ArtifactStore, opened: Callable[[], ArtifactStore]) -> None:
        """Six at once want the same key, five times over: one gets it, and its bytes are whole."""
        for turn in range(5):
            key, won = f"taken/{turn}", list[bytes]()

            def create(data: bytes, key: str = key, won: list[bytes] = won) -> None:
                try:
                    opened().write_new(key, data)
                except ConflictError:
                    return
                won.append(data)

            together([partial(create, str(number).encode() * 10_000) for number in range(6)])
            assert [store.read(key)] == won

    def test_nobody_reads_half_of_a_write(self, store: ArtifactStore, opened: Callable[[], ArtifactStore]) -> None:
        """While a key is replaced again and again, its readers get one of the values, whole."""
        values = [letter * 300_000 for letter in (b"a", b"b")]
        store.write("seen", values[0])
        ended = threading.Event()

        def write() -> None:
            writer = opened()
            try:
                for turn in range(20):
                    writer.write("seen", values[turn % 2])
            finally:
                ended.set()

        def read() -> None:
            reader = opened()
            while not ended.is_set():
                assert reader.read("seen") in values

        together([write, read, read])

    def test_a_listing_is_of_the_folder_alone(self, store: ArtifactStore) -> None:
        """It is sorted, whole, and relative to the root, whose own name is empty; of nothing it is empty."""
        for key in ("b/2", "b/1", "bb/3", "b/c/4", "b_d", "5"):
            store.write(key, b"")
        assert store.list("b") == ["b/1", "b/2", "b/c/4"]
        assert store.list("") == ["5", "b/1", "b/2", "b/c/4", "b_d", "bb/3"]
        assert store.list("nothing") == []

    def test_what_is_removed_is_gone(self, store: ArtifactStore) -> None:
        """Removing takes away one file, or every file of a folder and of no other; that there is none is no error."""
        for key in ("b/2", "b/c/4", "bb/3", "bb/3_"):
            store.write(key, b"")
        store.remove("b")
        store.remove("bb/3_")
        store.remove("nowhere")
        assert store.list("") == ["bb/3"]

    def test_a_folder_goes_up_and_comes_down(self, store: ArtifactStore, tmp_path: Path) -> None:
        """Names, contents and hash are the same; a manifest, and what a killed write left behind, stay behind."""
        source, down = tmp_path / "source", tmp_path / "down"
        for name in ("a.parquet", "sub/ü b.json", "manifest.json", ".tmp-1"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(name.encode() * 10_000)
        down.mkdir()
        store.upload(source, "x/y")
        assert store.list("x") == ["x/y/a.parquet", "x/y/sub/ü b.json"]
        assert content_hash(store.download("x/y", down)) == content_hash(source)
        with pytest.raises(FileNotFoundError):
            store.download("x/z", tmp_path / "none")

    @pytest.mark.parametrize("key", ["/x", "../x", "a/../../x"])
    def test_keys_stay_inside(self, store: ArtifactStore, tmp_path: Path, key: str) -> None:
        """No key leaves the root, in whatever direction."""
        (tmp_path / "file").write_bytes(b"")
        attempts: list[Callable[[], object]] = [
            lambda: store.read(key),
            lambda: store.write(key, b""),
            lambda: store.write_new(key, b""),
            lambda: store.exists(key),
            lambda: store.list(key),
            lambda: store.remove(key),
            lambda: store.upload(tmp_path, key),
            lambda: store.download(key, tmp_path),
        ]
        for attempt in attempts:
            with pytest.raises(ConfigurationError, match="leaves the artifact root"):
                attempt()
        assert store.list("") == []

    def test_a_lock_is_held_by_one(self, opened: Callable[[], ArtifactStore]) -> None:
        """Of three that want the same lock at once each gets it alone: deployments rest on that."""
        inside, most = list[int](), list[int]()

        def work() -> None:
            with store_lock(opened(), "shop/serving/deploy"):
                inside.append(1)
                most.append(len(inside))
                threading.Event().wait(0.05)
                inside.pop()

        together([work] * 3)
        assert most == [1, 1, 1]


class ForgeContract:
    """What a forge keeps. Override :meth:`repository` and :meth:`credentials`."""

    @pytest.fixture
    def repository(self) -> Repository:
        """A repository on the forge to test, with the branches ``main`` and, ahead of it, ``mlops/x``."""
        raise NotImplementedError

    @pytest.fixture
    def credentials(self) -> Credentials:
        """Whose token may open pull requests there."""
        raise NotImplementedError

    def request(self, repository: Repository, credentials: Credentials) -> PullRequest:
        """Return the pull request of the branch."""
        return pull_request(repository, credentials, branch="mlops/x", base="main", title="Better", body="settings")

    def test_a_branch_has_one_pull_request(self, repository: Repository, credentials: Credentials) -> None:
        """It is opened once, and found from then on: a job that is run again asks nobody twice."""
        first, second = (self.request(repository, credentials) for _ in range(2))
        assert (first.new, second.new) == (True, False)
        assert (first.number, first.url) == (second.number, second.url)
        assert first.url.startswith(("http://", "https://"))

    def test_without_a_token_nothing_is_tried(self, repository: Repository) -> None:
        """No retry helps, and the message says what to fill in."""
        with pytest.raises(ConfigurationError, match="token"):
            self.request(repository, Credentials())

    def test_a_refusal_shows_no_token(self, repository: Repository) -> None:
        """A token that may not do it is refused for good, and is in no message."""
        with pytest.raises(ConfigurationError) as refused:
            self.request(repository, Credentials("ann", "no-such-secret"))
        assert "no-such-secret" not in str(refused.value)
