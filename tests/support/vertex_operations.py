"""Long-running operations of the Vertex AI stand-in, one at a time on an endpoint."""

import random
import threading

import grpc
from google.longrunning import operations_pb2
from google.longrunning.operations_pb2 import Operation

from tests.support.stand_ins import Records


class Operations:
    """Handlers named after the API's methods, and the ids that Vertex AI assigns."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: Records[Operation] = Records()  # those that are running
        self.draws = random.Random(0)
        self._lock = threading.Lock()

    def new_id(self) -> str:
        return str(self.draws.randrange(10**9, 10**10))

    def begin(self, endpoint: str, context=None) -> Operation:
        """Begin an operation on an endpoint; refused while another one is running there."""
        operation = Operation(name=f"{endpoint}/operations/{self.new_id()}")
        with self._lock:
            if any(name.startswith(f"{endpoint}/") for name in self.operations):
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{endpoint}: another operation is running")
            self.operations[operation.name] = operation
        return operation

    def GetOperation(self, request: operations_pb2.GetOperationRequest, context) -> Operation:
        return self.operations[request.name]

    def ListOperations(
        self, request: operations_pb2.ListOperationsRequest, context
    ) -> operations_pb2.ListOperationsResponse:
        operations = [operation for name, operation in self.operations.items() if name.startswith(f"{request.name}/")]
        return operations_pb2.ListOperationsResponse(operations=operations)
