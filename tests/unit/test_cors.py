"""Cross-origin requests: only pages of configured origins may call the endpoint."""

import asyncio

import pytest

from banditloop.rl_core.serving.http.cors import with_cors

SHOP, OTHER = b"https://shop.example", b"https://other.example"


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def call(origins, origin=None, method="POST"):
    """Status and headers of a response."""
    sent, headers = [], [(b"origin", origin)] if origin else []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "path": "/predict", "headers": headers}
    asyncio.run(with_cors(app, origins)(scope, None, send))
    return sent[0]["status"], dict(sent[0]["headers"])


@pytest.mark.parametrize("origins", [["https://shop.example"], ["https://a.example", "https://shop.example"], ["*"]])
def test_a_page_of_an_allowed_origin_may_call(origins):
    status, headers = call(origins, SHOP)
    assert (status, headers[b"access-control-allow-origin"], headers[b"vary"]) == (200, SHOP, b"origin")
    status, headers = call(origins, SHOP, "OPTIONS")
    assert status == 204
    assert headers[b"access-control-allow-headers"] == b"authorization, content-type"


@pytest.mark.parametrize(("origins", "origin"), [([], SHOP), (["https://shop.example"], OTHER), (["*"], None)])
def test_nothing_is_allowed_to_others(origins, origin):
    for method in ("POST", "OPTIONS"):
        status, headers = call(origins, origin, method)
        assert status == 200  # the app's own answer
        assert b"access-control-allow-origin" not in headers
