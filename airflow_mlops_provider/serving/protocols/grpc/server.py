"""The Open Inference Protocol over gRPC, beside HTTP: each call is answered as one of HTTP with the same path is."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from fastapi import HTTPException, Request
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from airflow_mlops_provider.serving.access.callers import Right
from airflow_mlops_provider.serving.protocols import open_inference, routes
from airflow_mlops_provider.serving.protocols.given import flat, only
from airflow_mlops_provider.serving.protocols.grpc.messages import SERVICE, Message, message
from airflow_mlops_provider.serving.protocols.open_inference import Model, OpenInference, check_model, version_of
from airflow_mlops_provider.serving.protocols.tensors import (
    BYTES,
    Tensor,
    as_bytes,
    datatype_of,
    rows_of_tensors,
    texts,
)
from airflow_mlops_provider.serving.request_queue import MAX_BODY, MAX_CALLS
from airflow_mlops_provider.serving.request_schema import RequestError, RequestSchema, Rows
from airflow_mlops_provider.serving.responses import Said
from airflow_mlops_provider.serving.server import ModelServer
from airflow_mlops_provider.serving.workers.peers import Peers

_CODES = {
    401: grpc.StatusCode.UNAUTHENTICATED, 403: grpc.StatusCode.PERMISSION_DENIED, 404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED, 413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED, 499: grpc.StatusCode.CANCELLED, 500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE, 504: grpc.StatusCode.DEADLINE_EXCEEDED,
}  # fmt: skip
_CONTENTS = {
    "BOOL": "bool", "INT8": "int", "INT16": "int", "INT32": "int", "INT64": "int64", "UINT8": "uint", "UINT16": "uint",
    "UINT32": "uint", "UINT64": "uint64", "FP32": "fp32", "FP64": "fp64", BYTES: "bytes",
}  # fmt: skip
Allow = Callable[..., Any]
Answer = Callable[[bytes, Any], Awaitable[bytes]]
Fields = Awaitable[dict[str, Any]]
log = logging.getLogger(__name__)


class Address(NamedTuple):
    """Where gRPC is spoken, and with which certificate, if any; its file may hold the key as well."""

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None

    def __str__(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


class GrpcInference(OpenInference):
    """A call of ``ModelInfer``. It is answered in raw contents, unless it was written in the others."""

    def __init__(self, model: Model) -> None:
        super().__init__(model, model.name)
        self._given: Message = None

    def rows(self, schema: RequestSchema, body: bytes) -> Rows:
        self._given = given = _parsed("ModelInferRequest", body)
        check_model(self._model.name, given.model_name)
        only(self._model.outputs, [output.name for output in given.outputs])
        self.version, raw = version_of(given.model_version), given.raw_input_contents
        if raw and len(raw) != len(given.inputs):
            raise RequestError(f"there are {len(given.inputs)} inputs, and {len(raw)} raw contents")
        tensors = []
        for number, own in enumerate(given.inputs):
            kind = _CONTENTS.get(own.datatype)
            data: Any = memoryview(raw[number]) if raw else kind and getattr(own.contents, f"{kind}_contents")
            tensors.append(Tensor(own.name, own.datatype, own.shape, data))
        return rows_of_tensors(schema, tensors)

    def answer(self, said: Said) -> bytes:
        given, columns = self._given, flat(said.answers)
        names = [output.name for output in given.outputs] or [*columns]
        head = {"model_name": said.product, "model_version": str(said.version), "id": given.id or said.request_id}
        made = message("ModelInferResponse")(**head)
        for name in names:
            values, kind = columns[name], datatype_of(columns[name])
            output = made.outputs.add(name=name, datatype=kind, shape=[len(values)])
            if given.raw_input_contents:
                made.raw_output_contents.append(as_bytes(kind, values))
            else:
                plain = [text.encode() for text in texts(values)] if kind == BYTES else values
                getattr(output.contents, f"{_CONTENTS[kind]}_contents").extend(plain)
        return bytes(made.SerializeToString())


class Service:
    """The six methods.

    :param allow: refuses a request whose caller lacks some rights.
    :param respond, peers: see :func:`~..routes.add_protocols`.
    """

    def __init__(self, server: ModelServer, respond: routes.Respond, allow: Allow, peers: Peers) -> None:
        self._server, self._respond, self._allow, self._peers = server, respond, allow, peers
        self._model = open_inference.model_of(server.product.name, server.problem)

    @property
    def methods(self) -> Mapping[str, Answer]:
        """Each method by its name; bytes in, bytes out."""
        return {
            "ServerLive": self._open("ServerLive", self._live),
            "ServerReady": self._open("ServerReady", self._ready),
            "ServerMetadata": self._closed("ServerMetadata", self._about),
            "ModelReady": self._closed("ModelReady", self._model_ready),
            "ModelMetadata": self._closed("ModelMetadata", self._metadata),
            "ModelInfer": self._infer,
        }

    async def _live(self) -> dict[str, Any]:
        return {"live": True}

    async def _ready(self) -> dict[str, Any]:
        return {"ready": await self._peers.not_ready() is None}

    async def _about(self, _given: Message) -> dict[str, Any]:
        return routes.server_metadata(self._server)

    async def _model_ready(self, given: Message) -> dict[str, Any]:
        await self._versions(given)
        return await self._ready()

    async def _metadata(self, given: Message) -> dict[str, Any]:
        return open_inference.metadata(self._model, await self._versions(given), self._server.schema)

    async def _versions(self, given: Message) -> list[str]:
        return await routes.versions(self._peers, self._model.name, given.name, given.version)

    def _open(self, name: str, say: Callable[[], Fields]) -> Answer:
        async def answer(_body: bytes, _context: Any) -> bytes:
            return bytes(message(f"{name}Response")(**await say()).SerializeToString())

        return answer

    def _closed(self, name: str, say: Callable[[Message], Fields]) -> Answer:
        async def answer(body: bytes, context: Any) -> bytes:
            try:
                self._allow(_request(name, context), *Right)
                said = await say(_parsed(f"{name}Request", body))
                return bytes(message(f"{name}Response")(**said).SerializeToString())
            except RequestError as error:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            except HTTPException as error:
                await context.abort(_CODES[error.status_code], error.detail)
            raise AssertionError("abort raises")

        return answer

    async def _infer(self, body: bytes, context: Any) -> bytes:
        response = await self._respond(_request("ModelInfer", context, body), GrpcInference(self._model))
        context.set_trailing_metadata((("x-request-id", response.headers["x-request-id"]),))
        answer = bytes(response.body)
        if response.status_code != 200:
            why = open_inference.error_of(answer)
            await context.abort(_CODES.get(response.status_code, grpc.StatusCode.INVALID_ARGUMENT), why)
        return answer


async def serve(service: Service, address: Address) -> Any:
    """Return a gRPC server that has begun to serve; a server that takes over may share the address.

    :raises RuntimeError: if the address is not available.
    """
    limits = {"grpc.max_receive_message_length": MAX_BODY, "grpc.max_send_message_length": -1, "grpc.so_reuseport": 1}
    server = grpc.aio.server(options=[*limits.items()], maximum_concurrent_rpcs=MAX_CALLS)
    handlers = {name: grpc.unary_unary_rpc_method_handler(method) for name, method in service.methods.items()}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    if address.certificate:
        server.add_secure_port(str(address), _credentials(address.certificate, address.key))
    else:
        server.add_insecure_port(str(address))
    await server.start()
    log.info("gRPC is spoken at %s", address)
    return server


def _credentials(certificate: Path, key: Path | None) -> Any:
    """Return credentials that follow a renewed certificate, as the HTTP side does."""
    files = (key or certificate, certificate)
    seen = [_written(files)]

    def pair() -> Any:
        return grpc.ssl_server_certificate_configuration([tuple(file.read_bytes() for file in files)])

    def renewed() -> Any:
        try:
            if (now := _written(files)) == seen[0]:
                return None
            seen[0] = now
            return pair()
        except (OSError, ValueError) as error:  # halfway replaced
            log.warning("the certificate stays as it was: %s", error)
            return None

    return grpc.dynamic_ssl_server_credentials(pair(), renewed, require_client_authentication=False)


def _written(files: tuple[Path, ...]) -> float:
    return max(file.stat().st_mtime for file in files)


def _parsed(name: str, body: bytes) -> Message:
    try:
        return message(name).FromString(body)
    except DecodeError:
        raise RequestError(f"the body is no {name}") from None


def _request(name: str, context: Any, body: bytes = b"") -> Request:
    """Return a call as the HTTP request that it is underneath: one way for rights, limits, log and metrics."""
    given = [(key.encode("latin-1"), _latin(value)) for key, value in context.invocation_metadata() or ()]
    if (left := context.time_remaining()) is not None:
        given.append((b"grpc-timeout", b"%dm" % min(max(1, int(left * 1000)), 99_999_999)))
    scope = {"type": "http", "method": "POST", "path": f"/{SERVICE}/{name}", "query_string": b"", "headers": given}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(scope, receive)


def _latin(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1", "replace")
