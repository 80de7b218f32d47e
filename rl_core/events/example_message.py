"""The protobuf message tf.train.Example without TensorFlow, which takes seconds to import.

Its definition is that of tensorflow/core/example/example.proto: a map from the names of features to lists of bytes,
float32 or int64.
"""

from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

__all__ = ["DecodeError", "Example"]

PACKAGE = "tensorflow"
LISTS = {  # field of a feature, and the type of its list's values
    "bytes_list": FieldDescriptorProto.TYPE_BYTES,
    "float_list": FieldDescriptorProto.TYPE_FLOAT,
    "int64_list": FieldDescriptorProto.TYPE_INT64,
}


def _definition() -> FileDescriptorProto:
    file = FileDescriptorProto(name="tensorflow/core/example/example.proto", package=PACKAGE, syntax="proto3")
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (name, kind) in enumerate(LISTS.items(), start=1):
        _field(file.message_type.add(name=name), "value", kind, repeated=True)
        _field(feature, name, name, number).oneof_index = 0
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    _field(entry, "key", FieldDescriptorProto.TYPE_STRING)
    _field(entry, "value", "Feature", 2)
    _field(features, "feature", "Features.FeatureEntry", repeated=True)
    _field(file.message_type.add(name="Example"), "features", "Features")
    return file


def _field(
    message: DescriptorProto, name: str, kind: Any, number: int = 1, repeated: bool = False
) -> FieldDescriptorProto:
    label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
    field = message.field.add(name=name, number=number, label=label)
    if isinstance(kind, str):
        field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
    else:
        field.type = kind
    return field


_POOL = DescriptorPool()
_POOL.Add(_definition())
Example: Any = GetMessageClass(_POOL.FindMessageTypeByName(f"{PACKAGE}.Example"))
