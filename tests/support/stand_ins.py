"""gRPC servers that stand in for Google's services on this machine, with the SDKs' own messages."""

import inspect
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import grpc
from google.longrunning.operations_pb2 import Operation
from google.protobuf.any_pb2 import Any as Packed

Record = TypeVar("Record")


class Records(dict[str, Record]):
    """A stand-in's records by name. One is read through while other calls add and remove some: as it was at first."""

    def __iter__(self) -> Iterator[str]:
        return iter(list(super().__iter__()))

    def values(self) -> list[Record]:
        return list(super().values())

    def items(self) -> list[tuple[str, Record]]:
        return list(super().items())


def listen(
    stand_in: Any, services: Iterable[tuple[str, Any]], *handlers: grpc.GenericRpcHandler
) -> tuple[grpc.Server, str]:
    """Serve the methods of an object that are named after methods of the services.

    Each service comes with the module of its messages; `handlers` are added unchanged. Returns the server and its
    address.
    """
    server = grpc.server(ThreadPoolExecutor(8), handlers=handlers)
    names = [name for name in dir(type(stand_in)) if name[0].isupper()]
    for service, messages in services:
        methods = {
            n: _handler(stand_in, n, request) for n in names if (request := getattr(messages, f"{n}Request", None))
        }
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, methods)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"127.0.0.1:{port}"


def _handler(stand_in: Any, name: str, request: Any) -> grpc.RpcMethodHandler:
    def encode(answer: Any) -> bytes:
        return answer.SerializeToString() if hasattr(answer, "SerializeToString") else type(answer).serialize(answer)

    def call(message: Any, context: grpc.ServicerContext) -> Any:
        stand_in.on_call(name, context)
        fault = stand_in.faults.pop(0) if stand_in.faults else None
        if fault and len(stand_in.faults) % 2:
            context.abort(fault, "injected failure")
        answer = getattr(stand_in, name)(message, context)
        if fault:
            context.abort(fault, "injected failure after the call")
        return answer

    decode = request.deserialize if hasattr(request, "deserialize") else request.FromString
    method = getattr(stand_in, name)
    if inspect.isgeneratorfunction(method):
        return grpc.unary_stream_rpc_method_handler(method, decode, encode)
    return grpc.unary_unary_rpc_method_handler(call, decode, encode)


def finished(response: Any) -> Operation:
    """A finished long-running operation with this response."""
    packed = Packed()
    packed.Pack(type(response).pb(response) if hasattr(type(response), "pb") else response)
    return Operation(name="operations/1", done=True, response=packed)


def failed(code: int, message: str) -> Operation:
    """A long-running operation that failed."""
    return Operation(name="operations/1", done=True, error={"code": code, "message": message})
