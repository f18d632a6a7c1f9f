"""The provider of the tests itself: each behaviour is what a client would see of a real one."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.adapters.provider import BEHAVIOURS, REFUSALS, Provider


def ask(provider: Provider, model: str, **body: Any) -> tuple[int, str]:
    """Return the status and the text of an answer."""
    address = urlsplit(provider.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    try:
        request = json.dumps({"model": model, "messages": [], **body})
        connection.request("POST", "/v1/chat/completions", request, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("behaviour", sorted(BEHAVIOURS - {"hang", "reset"}))
def test_every_behaviour_has_an_answer(provider: Provider, behaviour: str) -> None:
    """A model that refuses says so by its status and code; all others answer by their name, or by nothing."""
    provider.behaviours["m"] = behaviour
    status, text = ask(provider, "m")
    if behaviour in REFUSALS:
        assert (status, json.loads(text)["error"]["code"]) == REFUSALS[behaviour][:2]
    elif behaviour in {"cut", "break", "event"}:
        assert status == 500
    else:
        choice = json.loads(text)["choices"][0]
        assert choice["message"]["content"] == ("m" if behaviour == "good" else "")
    assert provider.asked == ["m"]


def test_a_reset_connection_has_none(provider: Provider) -> None:
    """The client sees an error of the network."""
    provider.behaviours["m"] = "reset"
    with pytest.raises(ConnectionError):
        ask(provider, "m")


@pytest.mark.parametrize(("behaviour", "ends"), [("good", "[DONE]\n\n"), ("cut", '"finish_reason": null}]}\n\n')])
def test_streams_end_or_are_cut(provider: Provider, behaviour: str, ends: str) -> None:
    """A stream that is cut has neither a reason nor the last line, and nothing raises."""
    provider.behaviours["m"] = behaviour
    status, text = ask(provider, "m", stream=True, stream_options={"include_usage": True})
    assert status == 200
    assert text.endswith(ends)
    assert ('"usage"' in text) == (behaviour == "good")


def test_streams_break(provider: Provider) -> None:
    """A stream whose connection breaks raises in the middle."""
    provider.behaviours["m"] = "break"
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        ask(provider, "m", stream=True)
    provider.behaviours["m"] = "event"
    assert "it broke down" in ask(provider, "m", stream=True)[1]


def test_a_model_that_hangs_is_let_go_at_the_end() -> None:
    """Whoever closes the provider does not wait for a request that hangs."""
    with Provider(m="hang") as provider:
        address = urlsplit(provider.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=0.2)
        connection.request("POST", "/v1/chat/completions", json.dumps({"model": "m"}))
        with pytest.raises(TimeoutError):
            connection.getresponse()
        connection.close()
