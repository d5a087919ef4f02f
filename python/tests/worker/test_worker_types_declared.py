"""What is refused before the first request."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("key", ["inputs", "outputs"])
def test_an_unknown_type_is_refused_with_the_known_ones(checkpoint, zygote, key):
    running = zygote(checkpoint("out = 1"), **{key: [{"name": "x", "type": "dictt"}]})
    info = running.op("info")
    assert info["state"] == "failed"
    assert "x: unknown type 'dictt'; use one of dict, list" in info["error"]["errorMessage"]


def test_a_type_whose_package_is_missing_is_refused(checkpoint, zygote, folder):
    (folder / "PIL").mkdir()
    (folder / "PIL" / "__init__.py").write_text("")
    import worker_harness

    running = zygote(
        checkpoint("out = 1"),
        inputs=[{"name": "x", "type": "image"}],
        environment={"PYTHONPATH": f"{worker_harness.SOURCES}:{folder}"},
    )
    assert "package pillow is not installed" in running.op("info")["error"]["errorMessage"]
