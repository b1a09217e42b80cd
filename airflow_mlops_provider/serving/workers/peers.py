"""Each worker answers for all: it asks the others over sockets in a folder that nobody else may enter."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastapi.concurrency import run_in_threadpool

from airflow_mlops_provider.backends.model_server.base import Replica, combined
from airflow_mlops_provider.backends.model_server.state import ServerState
from airflow_mlops_provider.exceptions import DeploymentError
from airflow_mlops_provider.serving.server import ModelServer
from airflow_mlops_provider.serving.workers.figures import added, counted
from airflow_mlops_provider.serving.workers.place import Place
from airflow_mlops_provider.storage.atomic import atomic_write

#: Seconds that another worker has to answer; one that hangs is silent.
SECONDS = 1.0
_STATE, _METRICS = b"state\n", b"metrics\n"
log = logging.getLogger(__name__)


class Peers:
    """A worker and those beside it; a server of one process has none.

    :param server: this process's.
    """

    def __init__(self, server: ModelServer, place: Place | None = None) -> None:
        self._server, self._place, self._before = server, place, b""
        self._others = [number for number in range(place.of) if number != place.number] if place else []
        if place is not None:
            server.pid = place.pid
            self._before = _read(place.figures(place.number))

    @asynccontextmanager
    async def joined(self) -> AsyncIterator[None]:
        """Answer the others, and go on once all are ready; end this process when that ends which started it."""
        if self._place is None:
            yield
            return
        path, loop = self._place.socket(self._place.number), asyncio.get_running_loop()
        path.unlink(missing_ok=True)
        with socket.socket(fileno=self._place.control) as control:
            control.setblocking(False)
            async with await asyncio.start_unix_server(self._answer, path):
                await loop.sock_sendall(control, b"r")
                if await loop.sock_recv(control, 1) != b"g":
                    raise DeploymentError("the process that started this worker has ended")
                loop.add_reader(control, _answer, control)
                yield
                loop.remove_reader(control)

    async def state(self) -> ServerState:
        """Return what ``/version`` answers: what one serves that is behind; nothing while one is silent."""
        own, others = self._server.state(), await self._all(_STATE)
        states = [ServerState.model_validate_json(said) if said else None for said in others.values()]
        silent = next((number for number, said in others.items() if not said), None)
        together = combined([Replica("", own), *(Replica("", state) for state in states)])
        if together is not None:
            return together
        return own.model_copy(update={"live": None, "candidate": None, "not_ready": f"worker {silent} does not answer"})

    async def not_ready(self) -> str | None:
        """Return why a worker that takes calls in can't predict; None if each can. One that ended takes no calls in."""
        if own := self._server.predictions.not_ready():
            return own
        for number, said in (await self._all(_STATE)).items():
            if said == b"":
                return f"worker {number} does not answer"
            if said and (reason := ServerState.model_validate_json(said).not_ready):
                return reason
        return None

    async def versions(self) -> list[str]:
        """Return the version that answers, if there is one: of those workers that say so, the one that is behind."""
        said = [ServerState.model_validate_json(text) for text in (await self._all(_STATE)).values() if text]
        together = combined([Replica("", state) for state in (self._server.state(), *said)])
        return [str(together.live.version)] if together and together.live else []

    async def metrics(self) -> bytes:
        """Return the metrics of all as if they were one's; what was read of a worker that ended goes on to count."""
        if self._place is None:
            return self._server.metrics.text()
        return await run_in_threadpool(self._added, await self._all(_METRICS))

    def _added(self, others: dict[int, bytes | None]) -> bytes:
        assert self._place
        texts = {**others, self._place.number: self._own_metrics()}
        for number, text in texts.items():
            if text:
                atomic_write(self._place.figures(number), text)
            else:
                texts[number] = counted(_read(self._place.figures(number)))
        return added([text for text in texts.values() if text])

    def _own_metrics(self) -> bytes:
        return added([self._server.metrics.text(), counted(self._before)])

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers: dict[bytes, Callable[[], bytes]] = {
            _STATE: lambda: self._server.state().model_dump_json().encode(),
            _METRICS: self._own_metrics,
        }
        with suppress(OSError, KeyError):  # it went away
            writer.write(answers[await reader.readline()]())
            await writer.drain()
        writer.close()

    async def _all(self, what: bytes) -> dict[int, bytes | None]:
        """Return what each of the others says: nothing if it hangs, None if it is not there."""
        return dict(
            zip(self._others, await asyncio.gather(*(self._ask(one, what) for one in self._others)), strict=True)
        )

    async def _ask(self, number: int, what: bytes) -> bytes | None:
        assert self._place
        try:
            async with asyncio.timeout(SECONDS):
                reader, writer = await asyncio.open_unix_connection(self._place.socket(number))
                try:
                    writer.write(what)
                    return await reader.read()
                finally:
                    writer.close()
        except TimeoutError:
            return b""
        except OSError:
            return None


def _answer(control: socket.socket) -> None:
    """Say that this process is there; end it with the one that asks: first it answers the calls that it took in."""
    try:
        if control.recv(64):
            control.send(b".")
            return
    except BlockingIOError:
        return
    except OSError as error:
        log.debug("the process that started this worker has ended: %s", error)
    asyncio.get_running_loop().remove_reader(control)
    os.kill(os.getpid(), signal.SIGTERM)


def _read(file: Path) -> bytes:
    return file.read_bytes() if file.exists() else b""
