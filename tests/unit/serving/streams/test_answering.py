"""Large calls by the real server: answered while they are predicted, beside others, to the end or with a broken one."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pyarrow as pa
import pytest
from pyarrow import ipc

from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.serving import request_queue
from airflow_mlops_provider.serving.protocols.arrow import ARROW
from airflow_mlops_provider.serving.server import ModelServer
from airflow_mlops_provider.serving.streams import answering
from airflow_mlops_provider.serving.streams.pieces import LINES, PIECE_ROWS
from tests.factories.protocols import arrow_bytes, arrow_table, read_arrow
from tests.factories.rpc import Ports, listening
from tests.factories.serving import (
    StandInFeatures,
    make_release,
    make_rows,
    read_log,
    request_release,
    until,
)

pytest.importorskip("grpc", reason="needs an extra: pip install 'airflow-mlops-provider[grpc]'")
ALL = "MLOPS_TEST_PROTOCOLS"


class Stepped(StandInFeatures):
    """Features that are looked up only as often as a test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.looked, self._free = 0, 0, threading.Event()
        self._free.set()

    def online_columns(self, keys: Mapping[str, Sequence[object]]) -> dict[str, np.ndarray]:
        self.asked += 1
        if not self._free.is_set():
            assert self.steps.acquire(timeout=20)
        self.looked += 1
        return super().online_columns(keys)

    @contextmanager
    def held(self) -> Iterator[int]:
        """Look up one by one, until it is left; gives how often it was done so far."""
        self.steps = threading.Semaphore(0)
        self._free.clear()
        try:
            yield self.looked
        finally:
            self.let_go()

    def let_go(self) -> None:
        """Look up at once, as well what waits."""
        self._free.set()
        self.steps.release()


@pytest.fixture(scope="module")
def features() -> Stepped:
    return Stepped()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("streams")


@pytest.fixture(scope="module")
def ports(product: MLProduct, features: Stepped, folder: Path) -> Iterator[Ports]:
    request_release(folder, make_release(folder, 1))
    served = ModelServer(product, str(folder), lambda: features, folder / "log", poll=0.02, ready_within=60)
    with listening(served, token="") as ports:
        yield ports


@pytest.fixture
def client(ports: Ports) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{ports.http}", trust_env=False, timeout=60) as client:
        yield client


def lines(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return rows as JSON lines."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def stream(client: httpx.Client, body: Any, kind: str = LINES, name: str = "call", **headers: str) -> httpx.Response:
    """Send a large call."""
    given = {"content-type": kind, "x-request-id": name, **headers}
    return client.post("/predict/stream", content=body, headers=given)


@pytest.fixture(autouse=True)
def _one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no piece be taken together with what came beside it: how many wait would depend on when that was."""
    monkeypatch.setattr(request_queue, "MAX_BATCH", 1)


@pytest.mark.parametrize("wanted", [ARROW, LINES])
@pytest.mark.parametrize("given", [ARROW, LINES])
def test_any_number_of_rows_is_answered_in_order(client: httpx.Client, folder: Path, given: str, wanted: str) -> None:
    """More than a call may have otherwise, in one batch or by line: the same bits, and an id, in the log too."""
    rows = make_rows(10_300)
    expected = [
        said["probability"]
        for part in (rows[:10_000], rows[10_000:])
        for said in client.post("/predict", json={"rows": part}).json()["predictions"]
    ]
    table, name = arrow_table(rows), f"{given[-5:]}-{wanted[-5:]}"
    body = _one_batch(table) if given == ARROW else lines(rows)
    answer = stream(client, body, given, name, accept=wanted)
    assert (answer.status_code, answer.headers["content-type"]) == (200, wanted), answer.text[:300]
    if wanted == ARROW:
        said = read_arrow(answer.content)
        assert {len(chunk) for chunk in said["id"].chunks} <= {PIECE_ROWS, 300}
        assert said.schema.metadata == {b"product": b"tiny_shop"}
        answers = said.to_pylist()
    else:
        answers = [json.loads(line) for line in answer.text.splitlines()]
    assert [own["probability"] for own in answers] == expected
    assert {own["version"] for own in answers} == {1}
    assert [own["id"] for own in answers][:2] == [f"{name}.0-0", f"{name}.0-1"]
    if (given, wanted) != (ARROW, ARROW):  # once is enough
        return
    logged = read_log(folder / "log")
    logged = logged[logged["request_id"].str.startswith(f"{name}.")]
    assert dict(zip(logged["id"], logged["prediction"], strict=True)) == {
        own["id"]: own["probability"] for own in answers
    }


def _one_batch(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, table.schema) as writer:
        writer.write_batch(table.combine_chunks().to_batches()[0])
    return bytes(sink.getvalue())


def test_it_is_answered_while_it_is_predicted_and_others_between(
    client: httpx.Client, ports: Ports, features: Stepped
) -> None:
    """The first rows' answer is there before the second are looked up; a small call waits for one piece at most."""
    got: list[str] = []
    small = {"json": {"rows": make_rows(1)}, "headers": {"x-request-id": "small"}}

    def read() -> None:
        body = lines(make_rows(5 * PIECE_ROWS))
        with client.stream("POST", "/predict/stream", content=body, headers={"content-type": LINES}) as answer:
            for line in answer.iter_lines():
                got.append(line)  # noqa: PERF402  # one by one, as they come

    with ThreadPoolExecutor(2) as pool, features.held() as before:
        large = pool.submit(read)
        features.steps.release()
        until(lambda: len(got) == PIECE_ROWS)
        assert features.looked == before + 1
        beside = pool.submit(client.post, "/predict", **small)  # the second piece is looked up
        until(lambda: ports.queue.waiting == 1)
        features.steps.release(2)
        assert beside.result(20).status_code == 200
        assert len(got) <= 2 * PIECE_ROWS
        features.let_go()
        large.result(20)
    assert len(got) == 5 * PIECE_ROWS


def test_a_caller_who_went_away_costs_no_further_piece(
    client: httpx.Client, ports: Ports, features: Stepped, folder: Path
) -> None:
    """What was under way is answered, and nothing more; the place is another's."""
    body = lines(make_rows(5 * PIECE_ROWS))
    for number in range(answering.MAX_STREAMS + 1):
        head = f"POST /predict/stream HTTP/1.1\r\nhost: x\r\ncontent-type: {LINES}\r\nx-request-id: left-{number}\r\n"
        with features.held() as before:
            with socket.create_connection(("127.0.0.1", ports.http)) as left:
                left.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
                features.steps.release()
                assert left.recv(1000).startswith(b"HTTP/1.1 200 ")
                until(lambda before=before: features.asked == before + 2)  # type: ignore[misc]
            features.let_go()
        assert stream(client, lines(make_rows(1))).status_code == 200
        assert features.looked == before + 3
    left_ids = {own for own in read_log(folder / "log")["request_id"] if own.startswith("left-")}
    assert {own.split(".")[1] for own in left_ids} == {"0", "1"}


def test_as_many_as_may_be_are_answered_at_once(client: httpx.Client, ports: Ports, features: Stepped) -> None:
    """One more is told to come again; a piece waits for its turn while others' calls are too many."""
    with ThreadPoolExecutor(answering.MAX_STREAMS) as pool, features.held():
        some = [pool.submit(stream, client, lines(make_rows(PIECE_ROWS))) for _ in range(answering.MAX_STREAMS)]
        until(lambda: ports.queue.waiting == answering.MAX_STREAMS - 1)
        refused = stream(client, lines(make_rows(1)))
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        features.let_go()
        assert [own.result(20).status_code for own in some] == [200] * answering.MAX_STREAMS
        most, ports.queue._most = ports.queue._most, 0
        waits = pool.submit(stream, client, lines(make_rows(1)))
        assert client.post("/predict", json={"rows": make_rows(1)}).status_code == 429
        ports.queue._most = most
        assert waits.result(20).status_code == 200


@pytest.mark.parametrize(
    ("body", "kind", "status", "why"),
    [
        (b"{}\n", "application/json", 415, "send application/vnd.apache.arrow.stream or application/x-ndjson"),
        (b"", LINES, 422, "there are no rows"),
        (b"\n \n", LINES, 422, "there are no rows"),
        (b'{"a": 1}\n{"a":\n', LINES, 422, "line 2 is no JSON"),
        (lines(make_rows(1))[:-1] + b"," + lines(make_rows(1)), LINES, 422, "line 1 is no JSON"),
        (b'"' + b"x" * 1024 * 1024, LINES, 422, "line 1 is no JSON of at most 1,048,576 bytes"),
        (lines([{**make_rows(1)[0], "colour": "red"}]), LINES, 422, "of rows 0 to 0: row 0: unknown column 'colour'"),
        (b"", ARROW, 422, "no Arrow stream"),
        (b"\0" * 100, ARROW, 422, "no Arrow stream"),
        (arrow_bytes(pa.table({"colour": ["red"]})), ARROW, 422, "unknown column 'colour'"),
        (arrow_bytes(arrow_table(make_rows(3)))[:-40], ARROW, 422, "no Arrow stream"),
    ],
)
def test_what_cannot_be_begun_is_refused(client: httpx.Client, body: bytes, kind: str, status: int, why: str) -> None:
    """With status and reason, as any other call."""
    answer = stream(client, body, kind)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert why in answer.json()["detail"]


def unfit(client: httpx.Client) -> float:
    """Return how many calls were refused with 422 so far."""
    name = 'mlops_serving_requests_total{product="tiny_shop",status="422"} '
    lines_ = client.get("/metrics").text.splitlines()
    return sum(float(line.removeprefix(name)) for line in lines_ if line.startswith(name))


def test_a_mistake_further_on_breaks_the_answer(client: httpx.Client) -> None:
    """What was said stays said; the rest says why, and the connection ends without the end of the answer."""
    rows = make_rows(3 * PIECE_ROWS)
    rows[2 * PIECE_ROWS + 5]["pieces"] = "many"
    got, before = list[str](), unfit(client)

    def read() -> None:
        with client.stream("POST", "/predict/stream", content=lines(rows), headers={"content-type": LINES}) as answer:
            assert answer.status_code == 200
            for line in answer.iter_lines():
                got.append(line)  # also those before it breaks

    with pytest.raises(httpx.RemoteProtocolError):
        read()
    assert len(got) == 2 * PIECE_ROWS + 1
    assert "of rows 2000 to 2999: row 5: column 'pieces'" in json.loads(got[-1])["detail"]
    assert unfit(client) == before + 1


def test_large_calls_are_bounded(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """By bytes."""
    monkeypatch.setattr(answering, "MAX_BYTES", 1000)
    assert stream(client, lines(make_rows(100))).status_code == 413


def test_a_body_that_does_not_come_and_an_answer_that_nobody_reads_keep_no_place(
    product: MLProduct, tmp_path: Path
) -> None:
    """Each is given up after the time that it may take, and not predicted to its end."""
    request_release(tmp_path, make_release(tmp_path, 1))
    features = Stepped()
    served = ModelServer(product, str(tmp_path), lambda: features, tmp_path / "log", poll=0.02, ready_within=60)
    head = f"POST /predict/stream HTTP/1.1\r\nhost: x\r\ncontent-type: {LINES}\r\n"
    body = lines(make_rows(100 * PIECE_ROWS))
    with listening(served, token="", body_seconds=0.4) as ports:
        address = ("127.0.0.1", ports.http)
        with socket.create_connection(address) as half:
            half.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body[:100])
            assert half.recv(1000).startswith(b"HTTP/1.1 408 ")
        with socket.create_connection(address) as unread:
            unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            unread.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            until(lambda: features.looked > 0)
            time.sleep(1.5)
            looked = features.looked
            time.sleep(0.5)
            assert features.looked == looked < 100


def test_a_decoded_batch_is_bounded(client: httpx.Client) -> None:
    """A few bytes that would be very many are refused before they are."""
    zeros = pa.table({"price": np.zeros(20 * 1024 * 1024)})
    answer = stream(client, _compressed(zeros), ARROW)
    assert answer.status_code == 422
    assert "decoded, a batch may have 67,108,864 bytes" in answer.json()["detail"]


def _compressed(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, table.schema, options=ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(table.to_batches()[0])
    return bytes(sink.getvalue())


@pytest.mark.timeout(600)
def test_a_million_rows_take_no_more_memory_than_some(client: httpx.Client, features: Stepped) -> None:
    """Sent as one batch from a file, and read as they come; another caller's calls are answered meanwhile."""
    count = 1_000_000 if os.environ.get(ALL) else 50_000
    rows = arrow_table(make_rows(50_000))
    body, own = _one_batch(pa.concat_tables([rows] * (count // 50_000))), psutil.Process()
    read, slowest, ended, before = 0, 0.0, threading.Event(), own.memory_info().rss

    def beside() -> float:
        longest = 0.0
        while not ended.is_set():
            answer = client.post("/predict", json={"rows": make_rows(1)})
            assert answer.status_code == 200
            longest = max(longest, answer.elapsed.total_seconds())
        return longest

    with ThreadPoolExecutor(1) as pool:
        small = pool.submit(beside)
        with client.stream("POST", "/predict/stream", content=body, headers={"content-type": ARROW}) as answer:
            most = before
            for part in answer.iter_raw():
                read += len(part)
                most = max(most, own.memory_info().rss)
        ended.set()
        slowest = small.result()
    print(
        f"{count:,} rows: {len(body):,} bytes in, {read:,} out, {(most - before) / 2**20:.0f} MiB more, {slowest:.3f} s"
    )
    assert read > 50 * count
    assert most - before < len(body) + 100 * 2**20  # what is sent lies in a file, whose pages count where they are read
    assert slowest < 1.0
