"""Large calls in the background, by the real server: taken, predicted beside others, fetched by who sent them, gone."""

from __future__ import annotations

import os
import re
import socket
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.serving import listener, request_queue
from airflow_mlops_provider.serving.access.callers import Right, new_token
from airflow_mlops_provider.serving.protocols.arrow import ARROW
from airflow_mlops_provider.serving.server import ModelServer
from airflow_mlops_provider.serving.streams import answering, background, kept
from airflow_mlops_provider.serving.streams.pieces import LINES, PIECE_ROWS
from tests.factories.protocols import arrow_bytes, arrow_table
from tests.factories.rpc import Ports, listening
from tests.factories.serving import make_release, make_rows, read_log, request_release, until
from tests.unit.serving.streams.test_answering import Stepped, lines

pytest.importorskip("grpc", reason="needs an extra: pip install 'airflow-mlops-provider[grpc]'")


class Shop:
    """A server, and a client of it."""

    def __init__(self, ports: Ports, features: Stepped, folder: Path) -> None:
        self.ports, self.features, self.folder = ports, features, folder
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{ports.http}", trust_env=False, timeout=60)

    def send(self, rows: int | bytes, kind: str = LINES, name: str = "call", **headers: str) -> httpx.Response:
        """Send a call that is to be answered in the background."""
        body = lines(make_rows(rows)) if isinstance(rows, int) else rows
        own = {"content-type": kind, "x-request-id": name, "prefer": "respond-async", **headers}
        return self.client.post("/predict/stream", content=body, headers=own)

    def taken(self, *given: Any, **named: Any) -> str:
        """Send one that is taken, and return where to ask for it."""
        answer = self.send(*given, **named)
        assert answer.status_code == 202, answer.text
        return str(answer.headers["location"])

    def state(self, where: str) -> str:
        """Return the state of a call, or its status if it is not there."""
        answer = self.client.get(where)
        return str(answer.json().get("state", answer.status_code))

    def ended(self, where: str) -> dict[str, Any]:
        """Wait until a call is done or failed, and return all that is said of it."""
        until(lambda: self.state(where) not in {"waiting", "running"}, 60)
        said: dict[str, Any] = self.client.get(where).json()
        return said

    def figures(self) -> tuple[float, ...]:
        """Return how many calls wait and run, by /metrics."""
        text = self.client.get("/metrics").text
        name = 'mlops_serving_background_calls{product="tiny_shop",state="%s"} (.+)'
        return tuple(float(re.findall(name % state, text)[0]) for state in ("waiting", "running"))

    def files(self) -> list[str]:
        """Return what the server keeps of all calls."""
        (folder,) = (self.folder / "tmp").glob("predictions-*")
        walked = [f"{at}/{name}" for at, folders, files in os.walk(folder) for name in (*folders, *files)]
        return [file for file in walked if not file.endswith(".lock")]

    @contextmanager
    def held(self, *given: Any, **named: Any) -> Iterator[str]:
        """Have a call run, and stay before its first piece until this is left."""
        with self.features.held():
            asked, where = self.features.asked, self.taken(*given, **named)
            until(lambda: self.features.asked > asked)
            yield where


@contextmanager
def serving(product: MLProduct, folder: Path, **options: Any) -> Iterator[Shop]:
    """A server with version 1, whose temporary files lie in the folder."""
    request_release(folder, make_release(folder, 1))
    (folder / "tmp").mkdir()
    features = Stepped()
    served = ModelServer(product, str(folder), lambda: features, folder / "log", poll=0.02, ready_within=60)
    before, tempfile.tempdir = tempfile.tempdir, str(folder / "tmp")
    try:
        with listening(served, **{"token": "", **options}) as ports:
            shop = Shop(ports, features, folder)
            with shop.client:
                yield shop
    finally:
        tempfile.tempdir = before


@pytest.fixture(scope="module")
def served(product: MLProduct, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with serving(product, tmp_path_factory.mktemp("background")) as shop:
        yield shop


@pytest.fixture
def shop(served: Shop) -> Shop:
    """A server that has answered all that it took."""
    until(lambda: served.figures() == (0, 0))
    return served


@pytest.fixture(autouse=True)
def _one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_queue, "MAX_BATCH", 1)


@pytest.mark.parametrize("wanted", [ARROW, LINES])
@pytest.mark.parametrize("given", [ARROW, LINES])
def test_the_answer_is_that_of_a_stream(shop: Shop, given: str, wanted: str) -> None:
    """Byte for byte, with its length; and in the log under the same ids."""
    rows = make_rows(2 * PIECE_ROWS + 300)
    body, name = arrow_bytes(arrow_table(rows)) if given == ARROW else lines(rows), f"{given[-5:]}-{wanted[-5:]}"
    headers = {"content-type": given, "x-request-id": name, "accept": wanted}
    streamed = shop.client.post("/predict/stream", content=body, headers=headers).content
    answer = shop.send(body, given, name, accept=wanted)
    assert answer.status_code == 202
    assert {**answer.headers}.items() >= {
        "preference-applied": "respond-async",
        "retry-after": "1",
        "x-request-id": name,
    }.items()
    where = answer.headers["location"]
    assert re.fullmatch(r"/predictions/[A-Za-z0-9_-]{32}", where) and where.endswith(answer.json()["id"])
    said = shop.ended(where)
    assert (said["state"], said["rows_done"], said["rows"], said["version"]) == ("done", len(rows), len(rows), 1)
    assert datetime.fromisoformat(said["expires"]) - datetime.fromisoformat(said["taken"]) >= timedelta(hours=1)
    assert shop.client.get(where).headers["location"] == said["result"]
    result = shop.client.get(said["result"])
    assert (result.status_code, result.headers["content-type"]) == (200, wanted)
    assert result.headers["x-request-id"] == name
    assert int(result.headers["content-length"]) == len(result.content)
    assert result.content == streamed
    logged = read_log(shop.folder / "log")["id"].value_counts()
    assert logged[f"{name}.2-299"] == 2  # of the stream, and of this
    assert shop.client.delete(where).status_code == 204


@pytest.mark.parametrize(
    ("prefer", "status"),
    [("respond-async", 202), ("wait=5, Respond-Async; x=1", 202), ("return=minimal", 200), ("respond-asynchron", 200)],
)
def test_who_prefers_it_is_answered_later(shop: Shop, prefer: str, status: int) -> None:
    """As RFC 7240 has it; others at once."""
    answer = shop.send(1, prefer=prefer)
    assert answer.status_code == status
    assert ("preference-applied" in answer.headers) == (status == 202)


def test_what_runs_waits_and_is_done_is_said(shop: Shop) -> None:
    """By state and figures; a result that is not there yet is a 409, and one that is stays for others to come."""
    with shop.held(2 * PIECE_ROWS, name="first") as first:
        second = shop.taken(1, name="second")
        assert [shop.state(where) for where in (first, second)] == ["running", "waiting"]
        assert shop.figures() == (1, 1)
        for where in (first, second):
            assert shop.client.get(where).json()["expires"] is None
            assert shop.client.get(where).headers["retry-after"] == "1"
            refused = shop.client.get(f"{where}/result")
            assert (refused.status_code, refused.headers["retry-after"]) == (409, "1")
    assert [shop.ended(where)["rows"] for where in (first, second)] == [2 * PIECE_ROWS, 1]
    until(lambda: shop.figures() == (0, 0))


def test_a_wrong_row_is_named_as_in_a_stream(shop: Shop) -> None:
    """The state has its number; the result is the refusal that a call would have got."""
    rows = make_rows(3 * PIECE_ROWS)
    rows[2 * PIECE_ROWS + 5]["pieces"] = "many"
    where = shop.taken(lines(rows))
    said = shop.ended(where)
    assert (said["state"], said["status"], said["rows"], said["result"]) == ("failed", 422, None, None)
    assert "of rows 2000 to 2999: row 5: column 'pieces'" in said["detail"]
    result = shop.client.get(f"{where}/result")
    assert (result.status_code, result.json()) == (422, {"detail": said["detail"]})
    assert [Path(file).name for file in shop.files() if where[-32:] in file] == [where[-32:], "state.json"]
    for body, why in ((b"", "there are no rows"), (b'{"a":', "line 1 is no JSON")):
        assert why in shop.ended(shop.taken(body))["detail"]


@contextmanager
def half_sent(shop: Shop, *headers: str) -> Iterator[socket.socket]:
    """Have half of a body sent, and its file there."""
    own = (f"content-type: {LINES}", "host: x", "prefer: respond-async", "content-length: 4", *headers)
    with socket.create_connection(("127.0.0.1", shop.ports.http)) as sent:
        before = len(shop.files())
        sent.sendall(b"POST /predict/stream HTTP/1.1\r\n%b\r\n\r\n{}" % "\r\n".join(own).encode())
        until(lambda: len(shop.files()) == before + 3)  # folder, state, body
        yield sent


def test_what_cannot_be_taken_is_refused_and_leaves_nothing(product: MLProduct, tmp_path: Path) -> None:
    """By its kind; if its caller waits no longer when it is there, or goes away; if it does not come in time."""
    with serving(product, tmp_path) as shop:
        assert shop.send(1, kind="application/json").status_code == 415
        with half_sent(shop, "x-envoy-expected-rq-timeout-ms: 1") as late:
            late.sendall(b"\n\n")
            assert late.recv(1000).startswith(b"HTTP/1.1 504 ")
        with half_sent(shop):
            pass
        until(lambda: shop.files() == [])
    (tmp_path / "slow").mkdir()
    with serving(product, tmp_path / "slow", body_seconds=0.4) as shop:
        with half_sent(shop) as slow:
            assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")
        until(lambda: shop.files() == [])


def test_a_deadline_does_not_end_what_was_taken(shop: Shop) -> None:
    """Nobody waits for it."""
    with shop.held(1, **{"x-envoy-expected-rq-timeout-ms": "5000"}) as first:
        waits = shop.taken(1, **{"x-envoy-expected-rq-timeout-ms": "300"})
        threading.Event().wait(0.5)
    assert [shop.ended(where)["state"] for where in (first, waits)] == ["done", "done"]


def test_a_call_is_one_callers(product: MLProduct, tmp_path: Path) -> None:
    """Another, who may predict as well, sees no call; who may not predict is refused, and nobody is not let in."""
    made = {name: new_token(name, [right]) for name, right in (
        ("one", Right.PREDICT), ("other", Right.PREDICT), ("reader", Right.READ))}  # fmt: skip
    (tmp_path / "callers").write_text("".join(f"{line}\n" for _, line in made.values()))
    bearer = {name: {"authorization": f"Bearer {token}"} for name, (token, _) in made.items()}
    with serving(product, tmp_path, callers=tmp_path / "callers") as shop:
        assert [shop.send(1, **headers).status_code for headers in (bearer["reader"], {})] == [403, 401]
        where = shop.taken(1, **bearer["one"])
        until(lambda: shop.client.get(where, headers=bearer["one"]).json()["state"] == "done")
        ways = (("GET", where), ("GET", f"{where}/result"), ("DELETE", where))
        for who, status in (("other", 404), ("reader", 403), ("", 401)):
            headers = bearer.get(who, {})
            assert {shop.client.request(*way, headers=headers).status_code for way in ways} == {status}
        assert shop.client.get(f"{where}/result", headers=bearer["one"]).content.startswith(b'{"id":"call.0-0"')
        assert set(read_log(tmp_path / "log")["caller"]) == {"one"}
        said = shop.client.get(where, headers=bearer["one"]).json()
        assert said.keys() == kept.BackgroundCall.model_fields.keys()  # and not which worker keeps it
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kept, "MAX_OF_CALLER", 1)
            full = shop.send(1, **bearer["one"])
            assert full.status_code == 429 and "1 background calls of yours are kept" in full.json()["detail"]
            shop.taken(1, **bearer["other"])  # who has room of its own
        for status in (204, 404):
            assert shop.client.delete(where, headers=bearer["one"]).status_code == status


@pytest.mark.parametrize(
    "odd", ["x", "a" * 32, "..", "%2e%2e", "..%2F..%2Fetc%2Fpasswd", "%00", "é", "a" * 5000, "-" * 31, "*", ".lock"]
)
def test_odd_ids_are_nobodys(shop: Shop, odd: str) -> None:
    """They name no file."""
    other = shop.taken(1)
    for path in (odd, f"{other[-32:]}%2F..%2F{other[-32:]}", f".{other[-32:]}"):
        for method, end in (("GET", ""), ("GET", "/result"), ("DELETE", "")):
            with socket.create_connection(("127.0.0.1", shop.ports.http)) as sent:  # as it is: a client would change it
                line = f"{method} /predictions/{path}{end} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
                sent.sendall(line.encode("latin-1"))
                assert sent.recv(100).partition(b"\r\n")[0] in {b"HTTP/1.1 404 Not Found", b"HTTP/1.1 400 Bad Request"}
    assert shop.ended(other)["state"] == "done"


def test_what_is_deleted_while_it_runs_or_waits_costs_no_further_piece(shop: Shop) -> None:
    """What was under way is answered, and nothing more; no file is left; the next one's turn comes."""
    with shop.features.held() as before:
        asked = shop.features.asked
        runs, waits, last = (shop.taken(size, name=f"deleted-{size}") for size in (5 * PIECE_ROWS, 2, 3))
        shop.features.steps.release()
        until(lambda: shop.features.asked == asked + 2)  # the second piece
        for where in (runs, waits):
            assert shop.client.delete(where).status_code == 204
            assert shop.state(where) == "404"
        assert not [file for file in shop.files() if runs[-32:] in file or waits[-32:] in file]
    assert shop.ended(last)["state"] == "done"
    assert shop.features.looked == before + 3
    logged = set(read_log(shop.folder / "log")["request_id"])
    assert {own for own in logged if own.startswith("deleted")} == {"deleted-5000.0", "deleted-5000.1", "deleted-3.0"}
    assert not [file for file in shop.files() if runs[-32:] in file or waits[-32:] in file]


def test_an_answer_goes_away_after_a_time(product: MLProduct, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For its caller from that moment on; its files when the next call comes, and when nothing comes for a while."""
    with serving(product, tmp_path) as shop:

        def is_kept(where: str) -> bool:
            return any(where[-32:] in file for file in shop.files())

        stays = shop.taken(1)
        assert shop.ended(stays)["state"] == "done"
        monkeypatch.setattr(kept, "KEEP_SECONDS", 0.3)
        short = shop.taken(1)
        until(lambda: shop.state(short) == "404")
        for way in (("GET", f"{short}/result"), ("DELETE", short)):
            assert shop.client.request(*way).status_code == 404
        assert is_kept(short)
        monkeypatch.setattr(background, "LOOK_SECONDS", 0.1)
        last = shop.taken(1)
        assert not is_kept(short)
        until(lambda: not is_kept(last))
        assert shop.state(stays) == "done"


def test_calls_are_kept_within_bounds(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """By number (429) and bytes (507), of which what is refused takes none; who deletes makes room."""
    for where in {file.rpartition("/")[2] for file in shop.files() if re.search("/[A-Za-z0-9_-]{32}$", file)}:
        shop.client.delete(f"/predictions/{where}")
    where = shop.taken(PIECE_ROWS)
    shop.ended(where)
    before = shop.files()
    with monkeypatch.context() as patch:
        patch.setattr(kept, "MAX_CALLS", 1)
        full = shop.send(1)
        assert (full.status_code, full.headers["retry-after"]) == (429, "1")
        assert "1 background calls are kept; delete those whose result you have" in full.json()["detail"]
    for module, most in ((kept, 100), (background, 100_000)):  # of what is there already, and of what comes
        with monkeypatch.context() as patch:
            patch.setattr(module, "MAX_TAKEN", most)
            full = shop.send(b"x" * 3_000_000)
            assert full.status_code == 507 and "bytes; delete those" in full.json()["detail"]
    assert shop.files() == before
    with monkeypatch.context() as patch:
        patch.setattr(background, "MAX_BYTES", 1000)
        fails = shop.ended(shop.taken(1))
        assert (fails["status"], fails["state"]) == (507, "failed")
    assert shop.client.delete(where).status_code == 204
    monkeypatch.setattr(kept, "MAX_TAKEN", 10_000)
    assert shop.ended(shop.taken(1))["state"] == "done"


def test_it_has_a_streams_place_while_its_body_comes(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all are taken, it is to come again."""
    with ThreadPoolExecutor(answering.MAX_STREAMS) as pool, shop.features.held():
        given = {"content": lines(make_rows(PIECE_ROWS)), "headers": {"content-type": LINES}}
        some = [pool.submit(shop.client.post, "/predict/stream", **given) for _ in range(answering.MAX_STREAMS)]
        until(lambda: shop.ports.queue.waiting == answering.MAX_STREAMS - 1)
        assert shop.send(1).status_code == 429
        shop.features.let_go()
        assert {own.result(20).status_code for own in some} == {200}


def test_all_of_a_call_is_answered_by_one_release(product: MLProduct, tmp_path: Path) -> None:
    """By that which was live when it began; others are answered by the new one at once, also beside it."""
    with serving(product, tmp_path) as shop, shop.features.held():
        first = shop.taken(3 * PIECE_ROWS, name="rolled")
        shop.features.steps.release()
        until(lambda: shop.features.asked == 2)
        request_release(tmp_path, make_release(tmp_path, 2))
        until(lambda: shop.client.get("/version").json()["live"]["version"] == 2)
        shop.features.let_go()
        small = shop.client.post("/predict", json={"rows": make_rows(1)}).json()
        second = shop.taken(1)
        assert (small["version"], shop.ended(second)["version"], shop.ended(first)["version"]) == (2, 2, 1)
        logged = read_log(tmp_path / "log")
        assert set(logged[logged["request_id"].str.startswith("rolled.")]["version"]) == {1}
        assert shop.client.get(f"{first}/result").text.count('"version":1') == 3 * PIECE_ROWS


def test_a_server_that_ends_takes_no_further_calls_and_leaves_nothing(
    product: MLProduct, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over connections that are still open it refuses them; what runs goes on as long as these are there, then goes."""
    monkeypatch.setattr(listener, "LAST_SECONDS", 2.0)
    with serving(product, tmp_path) as shop:
        where = shop.taken(1)
        shop.ended(where)
        with shop.held(5 * PIECE_ROWS, name="ends") as runs:
            shop.ports.server.should_exit = True
            until(lambda: shop.send(1).status_code == 503, 1.5)
            refused = shop.client.post(
                "/predict/stream", content=lines(make_rows(1)),
                headers={"content-type": LINES, "prefer": "respond-async"},
            )  # fmt: skip
            assert "about to end; send the call again" in refused.json()["detail"]
            assert shop.state(runs) == "running"
            assert shop.client.get(f"{where}/result").status_code == 200
    assert [*(tmp_path / "tmp").iterdir()] == []


@pytest.mark.timeout(300)
def test_others_are_answered_while_very_many_rows_are(shop: Shop) -> None:
    """A hundred thousand rows, and another caller's calls between their pieces, of which none is refused."""
    count = 100_000
    body = lines(make_rows(10_000)) * (count // 10_000)
    seconds = []
    where = shop.taken(body, name="many")
    while shop.state(where) in {"waiting", "running"}:
        answer = shop.client.post("/predict", json={"rows": make_rows(1)}, headers={"x-request-id": "beside"})
        assert answer.status_code == 200
        seconds.append(answer.elapsed.total_seconds())
    said, result = shop.client.get(where).json(), shop.client.get(f"{where}/result")
    assert (said["state"], said["rows"]) == ("done", count)
    assert result.text.count("\n") == count
    assert len(seconds) >= 10  # calls that waited for all of it would be one or two
    seconds.sort()
    print(f"{len(seconds)} calls beside: median {seconds[len(seconds) // 2]:.3f} s, slowest {seconds[-1]:.3f} s")
