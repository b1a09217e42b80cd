"""The messages of the Open Inference Protocol's ``inference.GRPCInferenceService``, made at run time.

Generated code would be of one release of protobuf, and its names would clash with those of a client in the same
process. Left out are the maps of parameters, which nothing here reads: protobuf passes over what it does not know.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

SERVICE = "inference.GRPCInferenceService"
_FILE = descriptor_pb2.FileDescriptorProto
_FIELD = descriptor_pb2.FieldDescriptorProto
#: Of each message its fields: number, name and type; ``*`` says that it is repeated.
_MESSAGES = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "1 live bool",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "1 ready bool",
    "ModelReadyRequest": "1 name string, 2 version string",
    "ModelReadyResponse": "1 ready bool",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "1 name string, 2 version string, 3 extensions *string",
    "ModelMetadataRequest": "1 name string, 2 version string",
    "TensorMetadata": "1 name string, 2 datatype string, 3 shape *int64",
    "ModelMetadataResponse": "1 name string, 2 versions *string, 3 platform string, 4 inputs *TensorMetadata, "
    "5 outputs *TensorMetadata",
    "InferTensorContents": "1 bool_contents *bool, 2 int_contents *int32, 3 int64_contents *int64, "
    "4 uint_contents *uint32, 5 uint64_contents *uint64, 6 fp32_contents *float, 7 fp64_contents *double, "
    "8 bytes_contents *bytes",
    "InferTensor": "1 name string, 2 datatype string, 3 shape *int64, 5 contents InferTensorContents",
    "InferRequestedOutput": "1 name string",
    "ModelInferRequest": "1 model_name string, 2 model_version string, 3 id string, 5 inputs *InferTensor, "
    "6 outputs *InferRequestedOutput, 7 raw_input_contents *bytes",
    "ModelInferResponse": "1 model_name string, 2 model_version string, 3 id string, 5 outputs *InferTensor, "
    "6 raw_output_contents *bytes",
}
Message = Any  # a class that protobuf makes, or one of its objects


def message(name: str) -> Message:
    """Return a message's class."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"inference.{name}"))


def _pool() -> Any:
    file = _FILE(name="inference.proto", package="inference", syntax="proto3")
    for name, fields in _MESSAGES.items():
        made = file.message_type.add(name=name)
        for text in filter(None, fields.split(", ")):
            number, field, kind = text.split()
            label = _FIELD.LABEL_REPEATED if kind.startswith("*") else _FIELD.LABEL_OPTIONAL
            bare = kind.lstrip("*")
            of = {"type_name": f".inference.{bare}"} if bare in _MESSAGES else {"type": f"TYPE_{bare.upper()}"}
            made.field.add(name=field, number=int(number), label=label, **of)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


_POOL = _pool()
