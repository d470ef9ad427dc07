"""The server's messages: signatures as Argilla 2.8 makes them."""

from __future__ import annotations

import base64
import time

import pytest

from argilla_admap.errors import InputError
from argilla_admap.review.watch.webhooks import _address, sign, verified

# What `standardwebhooks` 1.0, which argilla-server 2.8 signs with, gave for these.
SECRET = base64.b64encode(b"a secret of thirty-two bytes, ok").decode()
BODY = b'{"type": "response.created", "version": 1}'
STAMP = "1700000000"
SIGNATURE = "v1,IgHBrc0Rb3FBcW5hjHVU+QBGGE+zmsvuiHM6oDA+vb4="


def headers(signature: str = SIGNATURE, stamp: str = STAMP) -> dict[str, str]:
    return {"Webhook-Id": "msg_1", "Webhook-Timestamp": stamp, "Webhook-Signature": signature}


def test_a_signature_is_the_one_that_the_server_makes() -> None:
    assert sign(SECRET, "msg_1", STAMP, BODY) == SIGNATURE
    assert verified(SECRET, headers(), BODY, now=1_700_000_010)
    assert verified(f"whsec_{SECRET}", headers(f"v1,AAAA {SIGNATURE}"), BODY, now=1_700_000_010)


@pytest.mark.parametrize(
    ("given", "body", "now"),
    [
        (headers(), BODY + b" ", 1_700_000_010),
        (headers("v1,AAAA"), BODY, 1_700_000_010),
        (headers("v1,ä"), BODY, 1_700_000_010),
        (headers(""), BODY, 1_700_000_010),
        (headers(stamp="soon"), BODY, 1_700_000_010),
        (headers(), BODY, 1_700_000_400),
        (headers(), BODY, None),
        ({}, BODY, 1_700_000_010),
    ],
)
def test_all_else_is_refused(given: dict[str, str], body: bytes, now: float | None) -> None:
    assert time.time() > 1_700_000_400
    assert not verified(SECRET, given, body, now=now)


def test_an_address_is_a_host_and_a_port() -> None:
    assert _address(None) == ("127.0.0.1", 0)
    assert _address("[::1]:80") == ("::1", 80)
    for wrong in ("8080", "host", "host:port", ":80"):
        with pytest.raises(InputError, match="HOST:PORT"):
            _address(wrong)
