"""Requests and connections that would take an endpoint much time or memory if it did not limit them."""

MB = 1 << 20


def _filled(begin: bytes, item: bytes, end: bytes, size: int) -> bytes:
    """A body of about `size` bytes with as many of the item as fit."""
    return begin + b",".join([item] * (size // (len(item) + 1))) + end


def _keys(size: int) -> bytes:
    return b"{" + b",".join(b'"k%07d":1' % number for number in range(size // 13)) + b"}"


BODIES = {  # path and body, each answered 400
    "rewards of {}": ("/reward", _filled(b'{"rewards":[', b"{}", b"]}", MB)),
    "9,000 rewards of {}": ("/reward", _filled(b'{"rewards":[', b"{}", b"]}", 27_000)),
    "a reward of unknown keys": ("/reward", b'{"rewards":[' + _keys(MB) + b"]}"),
    "a reward whose value is an object": ("/reward", b'{"rewards":[{"event_id":"a","value":' + _keys(MB) + b"}]}"),
    "activations of numbers": ("/activate", _filled(b'{"event_ids":[', b"1", b"]}", MB)),
    "32 MB of []": ("/predict", _filled(b'{"instances":[', b"[]", b"]}", 31 * MB)),
    "32 MB of [] as rewards": ("/reward", _filled(b'{"rewards":[', b"[]", b"]}", 31 * MB)),
    "instances of {}": ("/predict", _filled(b'{"instances":[', b"{}", b"]}", MB)),
    "an instance of unknown keys": ("/predict", b'{"instances":[' + _keys(MB) + b"]}"),
    "probabilities of texts": (
        "/predict",
        _filled(b'{"instances":[{"observation":[1],"action":"1","probabilities":[', b'"a"', b"]}]}", MB),
    ),
}

HEAD = b"POST /predict HTTP/1.1\r\nhost: localhost\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
CONNECTIONS = {  # what a connection begins with, and what it then repeats
    "headers": (HEAD, b"".join(b"h%04d: %s\r\n" % (number, b"x" * 100) for number in range(1000))),
    "small headers": (HEAD, b"a:\r\n" * 30_000),
    "a header without an end": (HEAD + b"x: ", b"x" * 120_000),
    "an address without an end": (b"POST /", b"x" * 120_000),
    "trailers": (CHUNKED + b"0\r\n", b"".join(b"t%04d: %s\r\n" % (number, b"x" * 100) for number in range(1000))),
    "pipelined requests": (b"", b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n" * 3000),
}
