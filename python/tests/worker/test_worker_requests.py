"""Requests to one instance: values, errors, prints."""

from __future__ import annotations

from worker_harness import RANDOMIZER, Client, Failure

from roost.worker import frames


def test_the_randomizer_answers_within_its_bounds(cell):
    client = cell(RANDOMIZER, inputs={"input_data": "dict"}, outputs={"output_data": "dict"})
    for _ in range(20):
        out = client.call({"input_data": {"left_bound": 1, "right_bound": 10}}, "req-1")
        assert 1 <= out["output_data"]["generated_value"] <= 10
    assert len(client.zygote.messages(20, stream="stdout", requestId="req-1")) == 20


def test_a_request_called_plain_is_answered_like_any_other(cell):
    client = cell("out = x", inputs={"x": "dict"})
    whole = Client.request(7, {"x": {"a": 1, "b": [0.5, "é"]}}, "req-1")
    client.sock.sendall(whole[:4] + bytes([frames.EXECUTE_PLAIN]) + whole[5:])
    assert client.answer() == (7, {"out": {"a": 1, "b": [0.5, "é"]}})
    assert client.call({"x": {}}) == {"out": {}}


def test_an_exception_names_the_cells_line(cell):
    client = cell("def f(x):\n    return 10 // x\n\nout = f(x)\n", inputs={"x": "int"})
    error = client.call({"x": 0})
    assert (error.kind, error.name) == ("cell", "ZeroDivisionError")
    assert error.body["stateKept"] is True
    text = "\n".join(error.traceback)
    assert "Cell In[2], line 4" in text and "Cell In[2], line 2, in f" in text and "return 10 // x" in text
    assert "execute.py" not in text
    assert error.traceback[-1].startswith("ZeroDivisionError: ")
    assert client.call({"x": 5}) == {"out": 2}


def test_a_busy_loop_is_interrupted_and_the_state_is_kept(cell):
    client = cell("n = globals().get('n', 0) + 1\nout = n\nwhile spin: pass\n", inputs={"spin": "bool"})
    assert client.call({"spin": False}) == {"out": 1}
    error = client.call({"spin": True}, timeout_ms=150)
    assert error.kind == "timeout" and "0.15 s" in error.message and "line 3" in error.message
    assert client.call({"spin": False}) == {"out": 3}


def test_requests_of_a_batch_are_answered_in_one_send(cell):
    client = cell("out = x", inputs={"x": "int"})
    client.sock.sendall(b"".join(Client.request(tag, {"x": tag}) for tag in range(8)))
    first = client.sock.recv(1 << 16)
    client.data = first
    assert [client.answer() for _ in range(8)] == [(tag, {"out": tag}) for tag in range(8)]
    assert client.data == b"" and len(first) > 8 * 13


def test_bad_inputs_are_the_callers_fault(cell):
    client = cell("out = x", inputs={"x": "int"})
    for raw, words in [
        (b"{", "not JSON"),
        (b'{"x":1}x', "not JSON"),
        (b"[1]", "must be a JSON object"),
        (b"{}", "input 'x' is missing; this cell takes x (int)"),
        (b'{"x":"a"}', "input 'x': expected int, got str"),
        (b'{"x":true}', "expected int, got bool"),
        (b'{"x":1,"y":2}', "unknown input 'y'"),
        (b'{"x":1,"x":2}', "'x' occurs twice"),
        (b'{"x":NaN}', "NaN"),
        (b'{"x":"\xff"}', "UTF-8"),
    ]:
        error = client.call(raw)
        assert isinstance(error, Failure) and error.kind == "input" and words in error.message, (raw, error)
    assert client.call({"x": 3}) == {"out": 3}
