"""Several workers behind one port: as one server they roll, are replaced, count and record."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

import httpx
import psutil
import pytest

from airflow_mlops_provider.backends.model_server import client, launcher
from airflow_mlops_provider.backends.model_server.state import ServerState
from tests.factories.ports import free_port
from tests.factories.rpc import ask, raw
from tests.factories.serving import NAME, make_release, make_rows, read_log, request_release, until
from tests.integration.serving.test_model_server import World

WORKERS = 2
GRPC = free_port()
OPTIONS = ("--workers", str(WORKERS), "--worker-timeout", "5", "--grpc-port", str(GRPC))


class Crew(World):
    """A world whose server has several workers."""

    def start(self, code: str = "", *more: str) -> str:
        """Start the server, or find it running."""
        log, options = self.root.parent / "server.log", (*OPTIONS, *more)
        self.url = launcher.ensure_running(
            NAME, str(self.root), "127.0.0.1", self.port, log, self.env, options=options, code=code
        )
        return self.url

    @property
    def server(self) -> psutil.Process:
        """The process that starts the workers."""
        (server,) = launcher.running(str(self.root), NAME)
        return psutil.Process(server.pid)

    def workers(self) -> list[psutil.Process]:
        """The processes that answer."""
        return [child for child in self.server.children() if "--worker" in child.cmdline()]

    def whole(self, version: int) -> ServerState:
        """Wait until all workers serve a version."""
        return client.wait_for_version(self.url, version, 60)

    def counted(self, name: str = 'mlops_serving_requests_total{product="tiny_shop",status="200"}') -> float:
        """Return one of the figures that /metrics has."""
        text = httpx.get(f"{self.url}/metrics", trust_env=False).text
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    @contextmanager
    def called(self, callers: int = 4) -> Iterator[list[tuple[str, int, int]]]:
        """Have it called all the time, each call over a connection of its own: id, status and version of each."""
        said: list[tuple[str, int, int]] = []
        ending = threading.Event()

        def call(caller: int) -> None:
            number = 0
            while not ending.is_set():
                number += 1
                own = f"caller-{caller}-{number}"
                try:
                    answer = httpx.post(
                        f"{self.url}/predict", json={"rows": make_rows(3)}, headers={"x-request-id": own},
                        timeout=30, trust_env=False,
                    )  # fmt: skip
                    said.append((own, answer.status_code, answer.json().get("version", 0)))
                except httpx.HTTPError:
                    said.append((own, 0, 0))

        threads = [threading.Thread(target=call, args=(caller,)) for caller in range(callers)]
        for thread in threads:
            thread.start()
        try:
            yield said
        finally:
            ending.set()
            for thread in threads:
                thread.join()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    world = Crew(tmp_path_factory.mktemp("workers"))
    world.fill()
    request_release(world.root, make_release(world.root, 1))
    world.start()
    world.whole(1)
    yield world
    launcher.stop(NAME, str(world.root))


def test_connections_that_come_together_are_shared_out(world: Crew) -> None:
    """No worker has them all: callers keep their connections, so the others would have nothing to do."""
    address = "127.0.0.1", world.port
    with ExitStack() as stack:
        for _ in range(16):
            stack.enter_context(socket.create_connection(address))
        time.sleep(0.5)
        held = [
            sum(known.laddr == address and known.status == psutil.CONN_ESTABLISHED for known in own.net_connections())
            for own in world.workers()
        ]
    assert sum(held) >= 16
    assert min(held) >= 4


def test_a_swap_under_load_loses_no_call_and_is_complete_when_all_serve_it(world: Crew) -> None:
    """Once /version says so, nobody is answered by the version before; each answered row is in the one log."""
    first, second = (process.pid for process in world.workers())
    with world.called() as said:
        time.sleep(0.5)
        for version in (2, 3):
            requested: datetime = request_release(world.root, make_release(world.root, version)).requested_at
            client.wait_for_version(world.url, version, 60, requested)
            begun = len(said)
            for _ in range(20):
                assert world.predict(make_rows(1)).json()["version"] == version
            del said[begun : begun + 8]  # on their way when it was asked
            time.sleep(0.3)
            assert {answered for _, _, answered in said[begun:]} == {version}
    assert {status for _, status, _ in said} == {200}
    assert [process.pid for process in world.workers()] == [first, second]
    logged = set(read_log(world.log)["request_id"])
    assert {own for own, _, _ in said} <= logged
    writers = {int(file.name.rsplit("-", 3)[1]) for file in world.log.glob("*.jsonl")}
    assert writers >= {first, second}


def test_one_says_what_all_do(world: Crew) -> None:
    """By /version the server is known as the process that started them; the figures of both are added up."""
    assert world.whole(3).pid == world.server.pid
    before = world.counted()
    for _ in range(30):
        assert world.predict(make_rows(2)).status_code == 200
    assert [world.counted() for _ in range(6)] == [before + 30] * 6
    assert world.counted('mlops_serving_phase_seconds_count{phase="log",product="tiny_shop"}') >= before + 30
    assert world.counted('mlops_serving_model_version{product="tiny_shop"}') == 3


def test_a_worker_that_is_killed_is_replaced(world: Crew) -> None:
    """Others answer until it is back; nobody says meanwhile that all serve; nothing that was counted is forgotten."""
    counted = world.counted()
    killed, other = world.workers()
    killed.kill()
    silent = client.server_state(world.url)
    assert silent is not None
    assert silent.live is None
    assert silent.not_ready is not None and "does not answer" in silent.not_ready
    assert httpx.get(f"{world.url}/ready", trust_env=False).status_code == 200
    assert world.predict(make_rows(2)).status_code == 200
    assert world.counted() >= counted + 1
    world.whole(3)
    assert other in world.workers()
    assert killed not in world.workers()
    assert len(world.workers()) == WORKERS
    assert [world.counted() for _ in range(4)] == [counted + 1] * 4


def test_a_worker_that_hangs_is_replaced(world: Crew) -> None:
    """Its process is there and says nothing: after a while it is killed; the others answer, and say what is wrong."""
    hung, other = world.workers()
    hung.suspend()
    with world.called(2) as said:
        assert "does not answer" in httpx.get(f"{world.url}/", trust_env=False).text
        _, alive = psutil.wait_procs([hung], timeout=30)
    assert not alive
    assert {status for _, status, _ in said} == {200}
    world.whole(3)
    assert other in world.workers()
    assert len(world.workers()) == WORKERS
    assert "does not answer" not in httpx.get(f"{world.url}/", trust_env=False).text


def test_grpc_is_spoken_by_all_workers(world: Crew) -> None:
    """Connections are spread over them; each says what all serve; when one dies the others answer."""
    grpc = pytest.importorskip("grpc", reason="needs an extra: pip install 'airflow-mlops-provider[grpc]'")

    def infer(*names: str) -> None:
        for name in names:  # each over a connection of its own
            address, own = f"127.0.0.1:{GRPC}", [("grpc.use_local_subchannel_pool", 1)]
            with grpc.insecure_channel(address, own) as channel:
                answer = ask(channel, "ModelInfer", metadata=(("x-request-id", name),), **raw(make_rows(3)))
                assert answer.model_version == "3"
                assert ask(channel, "ModelMetadata", metadata=(), name=NAME).versions == ["3"]
                assert ask(channel, "ServerReady", metadata=()).ready

    first, second = (process.pid for process in world.workers())
    infer(*(f"rpc-{number}" for number in range(16)))
    wrote = {
        int(file.name.rsplit("-", 3)[1])
        for file in world.log.glob("*.jsonl")
        if '"request_id":"rpc-' in file.read_text()
    }
    assert wrote == {first, second}
    killed = psutil.Process(first)
    killed.kill()
    psutil.wait_procs([killed], timeout=10)
    infer("rpc-left")
    world.whole(3)


def test_any_worker_is_asked_for_a_call_in_the_background_and_one_that_is_killed_fails_it(world: Crew) -> None:
    """Whoever is asked says the same, gives the answer, and deletes; what a killed worker had is to be sent again."""
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in make_rows(1000))

    def ask(method: str, where: str) -> httpx.Response:
        return httpx.request(method, f"{world.url}{where}", trust_env=False, timeout=30)  # over a connection of its own

    def taken(name: str, rows: int) -> str:
        headers = {"prefer": "respond-async", "content-type": "application/x-ndjson", "x-request-id": name}
        body = lines * (rows // 1000)
        answer = httpx.post(f"{world.url}/predict/stream", content=body, headers=headers, trust_env=False, timeout=60)
        assert answer.status_code == 202, answer.text
        return str(answer.headers["location"])

    def states(*calls: str) -> set[str]:
        return {ask("GET", where).json()["state"] for where in calls for _ in range(8)}

    done = taken("kept", 2000)
    until(lambda: states(done) == {"done"}, 30)
    same = {"content-type": "application/x-ndjson", "x-request-id": "kept"}
    streamed = httpx.post(f"{world.url}/predict/stream", content=lines * 2, headers=same, trust_env=False, timeout=60)
    assert {ask("GET", f"{done}/result").content for _ in range(8)} == {streamed.content}
    calls = {f"lost-{number}": taken(f"lost-{number}", 300_000) for number in range(3)}
    until(lambda: any('"request_id":"lost-' in file.read_text() for file in world.log.glob("*.jsonl")), 30)
    wrote = next(file for file in world.log.glob("*.jsonl") if '"request_id":"lost-' in file.read_text())
    first = re.search('"request_id":"(lost-[0-9])', wrote.read_text())
    assert first
    killed = psutil.Process(int(wrote.name.rsplit("-", 3)[1]))
    assert states(calls[first[1]]) == {"running"}
    killed.kill()
    psutil.wait_procs([killed], timeout=10)
    lost = ask("GET", calls[first[1]]).json()
    assert (lost["state"], lost["status"], lost["detail"]) == ("failed", 503, "the worker ended; send it again")
    assert ask("GET", f"{calls[first[1]]}/result").status_code == 503
    world.whole(3)
    assert states(done) == {"done"}  # whoever answered it
    for where in (done, *calls.values()):
        assert ask("DELETE", where).status_code == 204
        assert {ask("GET", where).status_code for _ in range(8)} == {404}
    again = taken("again", 2000)
    until(lambda: states(again) == {"done"}, 30)
    name = 'mlops_serving_background_calls{product="tiny_shop",state="running"}'
    until(lambda: world.counted(name) == 0)


def test_new_code_takes_over_from_all_workers(world: Crew) -> None:
    """Without a call that is lost: the new server listens once each of its workers can predict."""
    before = world.workers()
    with world.called(2) as said:
        world.start("another")
        world.whole(3)
        time.sleep(0.3)
    assert {status for _, status, _ in said} == {200}
    assert not [process for process in before if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def test_workers_end_with_the_server_even_when_it_is_killed(world: Crew) -> None:
    """Its port is free again, and another server starts there."""
    workers = world.workers()
    os.kill(world.server.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
    world.start("again")
    world.whole(3)
    assert world.predict(make_rows(2)).status_code == 200


def test_workers_that_cannot_start_end_the_server(world: Crew, tmp_path: Path) -> None:
    """With the reason in its log, not a server that starts them for ever."""
    launcher.stop(NAME, str(world.root))
    with pytest.raises(launcher.DeploymentError, match="ended while starting"):
        world.start("", "--tls-certificate", str(tmp_path / "none.pem"))
    taken = pytest.raises(launcher.DeploymentError, match="Address already in use")
    with socket.create_server(("127.0.0.1", GRPC)), taken:
        world.start()
    assert launcher.running(str(world.root), NAME) == []
