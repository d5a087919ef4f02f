"""Service accounts and their keys, with JWTs that PyJWT and cryptography make."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import time
from typing import Any

import jwt
import pytest
from conftest import BINARY, Answer, Roost, wait_for


class Key:
    """A key file and the exchange of what it signs."""

    def __init__(self, roost: Roost, path: pathlib.Path) -> None:
        self.roost = roost
        self.content: dict[str, Any] = json.loads(path.read_text())
        self.id: str = self.content["id"]
        self.account: str = self.content["service_account_id"]

    def signed(self, algorithm: str = "PS256", **changes: Any) -> str:
        now = int(time.time())
        claims = {
            "iss": self.account,
            "aud": f"https://iam.localhost:{self.roost.port}/iam/v1/tokens",
            "iat": now,
            "exp": now + 3600,
            **changes,
        }
        return jwt.encode(claims, self.content["private_key"], algorithm=algorithm, headers={"kid": self.id})

    def exchange(self, token: str | None = None) -> Answer:
        return self.roost.call("POST", "/iam/v1/tokens", {"jwt": token or self.signed()}, token="")


def command(roost: Roost, *words: str, status: int = 0) -> str:
    done = subprocess.run(
        [BINARY, *words], env=roost.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


@pytest.fixture
def key(roost: Roost, tmp_path: pathlib.Path, request: pytest.FixtureRequest) -> Key:
    name = request.node.name.replace("_", "-")[:60].strip("-")
    command(roost, "service-account", "create", name, "--role", "viewer")
    path = tmp_path / "made" / "key.json"
    command(roost, "key", "create", "--service-account", name, "--out", str(path), "--description", "a test")
    return Key(roost, path)


def test_key_file_is_private_and_complete(roost: Roost, key: Key, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "made" / "key.json"
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert set(key.content) == {
        "id", "service_account_id", "created_at", "key_algorithm", "public_key", "private_key",
    }  # fmt: skip
    assert key.content["key_algorithm"] == "RSA_2048"
    assert key.content["private_key"].startswith("-----BEGIN PRIVATE KEY-----")
    assert key.content["public_key"].startswith("-----BEGIN PUBLIC KEY-----")
    message = command(roost, "key", "create", "--service-account", key.account, "--out", str(path), status=1)
    assert "exists already" in message
    listed = roost.get(f"/v1/serviceAccounts/{key.account}/keys")["keys"]
    assert [item["id"] for item in listed] == [key.id]
    assert "privateKey" not in listed[0] and listed[0]["description"] == "a test"


def test_jwt_is_exchanged_for_a_token_that_works(roost: Roost, key: Key) -> None:
    answer = key.exchange()
    assert answer.status == 200 and set(answer.json) == {"iamToken", "expiresAt"}, answer
    token = answer.json["iamToken"]
    assert roost.call("GET", "/v1/nodes", token=token).status == 200
    # The same token for a while: clients that come every 20 seconds cost no write.
    assert key.exchange().json["iamToken"] == token
    assert "lastUsedAt" in roost.get(f"/v1/serviceAccounts/{key.account}/keys")["keys"][0]
    assert key.exchange(key.signed(aud="https://iam.localhost/iam/v1/tokens")).status == 200


def test_bad_assertions_are_refused_with_the_reason(roost: Roost, key: Key) -> None:
    now = int(time.time())
    cases = [
        (key.signed("RS256"), "PS256"),
        (key.signed(iat=now, exp=now + 3601), "at most 3600 seconds"),
        (key.signed(iat=now - 3700, exp=now - 100), "expired"),
        (key.signed(iat=now + 300, exp=now + 400), "clock"),
        (key.signed(iss="svaaaaaaaaaaaaaaaaaa"), "iss"),
        (key.signed(aud="https://example.org/"), "aud"),
        (key.signed()[:-20] + "A" * 20, "signature"),
        ("a.b.c", "three parts"),
    ]
    for text, reason in cases:
        answer = key.exchange(text)
        assert answer.status == 401 and answer.json["code"] == 16 and reason in answer.json["message"], (reason, answer)


def test_bodies_other_than_a_jwt_are_refused_clearly(roost: Roost) -> None:
    for name in ("yandexPassportOauthToken", "yandex_passport_oauth_token"):
        answer = roost.call("POST", "/iam/v1/tokens", {name: "y0_abc"}, token="")
        assert answer.status == 400 and answer.json["code"] == 3
        assert "no OAuth accounts" in answer.json["message"] and "roost key create" in answer.json["message"]
    assert "missing" in roost.call("POST", "/iam/v1/tokens", {}, token="").json["message"]
    both = {"jwt": "a.b.c", "yandexPassportOauthToken": "y0_abc"}
    assert "not both" in roost.call("POST", "/iam/v1/tokens", both, token="").json["message"]


def test_deleted_key_and_its_tokens_are_refused_at_once(roost: Roost, key: Key) -> None:
    token = key.exchange().json["iamToken"]
    command(roost, "key", "delete", key.id, "--service-account", key.account)
    answer = key.exchange()
    assert answer.status == 401 and "deleted" in answer.json["message"], answer
    assert roost.call("GET", "/v1/nodes", token=token).status == 401


def test_revoked_token_is_not_given_again(roost: Roost, key: Key) -> None:
    token = key.exchange().json["iamToken"]
    identifier = jwt.decode(token, options={"verify_signature": False})["jti"]
    assert roost.call("DELETE", f"/v1/tokens/{identifier}").status == 204
    other = key.exchange().json["iamToken"]
    assert other != token
    assert roost.call("GET", "/v1/nodes", token=token).status == 401
    assert roost.call("GET", "/v1/nodes", token=other).status == 200


def test_deleted_service_account_ends_everything_of_it(roost: Roost, key: Key) -> None:
    token = key.exchange().json["iamToken"]
    command(roost, "service-account", "delete", key.account, "--yes")
    assert key.exchange().status == 401
    assert roost.call("GET", "/v1/nodes", token=token).status == 401
    assert "operator" in command(roost, "service-account", "delete", "operator", "--yes", status=1)


def test_keys_need_the_role_admin(roost: Roost, key: Key) -> None:
    token = key.exchange().json["iamToken"]
    path = f"/v1/serviceAccounts/{key.account}/keys"
    assert roost.call("GET", path, token=token).status == 200
    assert roost.call("POST", path, {}, token=token).status == 403
    assert roost.call("DELETE", f"{path}/{key.id}", token=token).status == 403
    assert roost.call("POST", "/v1/serviceAccounts/operator/keys", {}, token=token).status == 403


def test_keys_outlive_a_restart(make_server: Any, tmp_path: pathlib.Path) -> None:
    roost = make_server()
    command(roost, "service-account", "create", "robot", "--role", "viewer")
    command(roost, "key", "create", "--service-account", "robot", "--out", str(tmp_path / "key.json"))
    key = Key(roost, tmp_path / "key.json")
    assert key.exchange().status == 200
    roost.kill()
    roost.start()
    assert key.exchange().status == 200


def api_key(roost: Roost, token: str, method: str = "GET", path: str = "/v1/nodes", body: Any = None) -> Answer:
    return roost.call(method, path, body, token="", headers={"authorization": f"Api-Key {token}"})


def test_audiences_of_other_servers_are_refused_where_this_one_has_a_name(
    make_server: Any, tmp_path: pathlib.Path
) -> None:
    roost = make_server("--endpoint", "api.example.org:8443")
    command(roost, "service-account", "create", "named", "--role", "viewer")
    path = tmp_path / "key.json"
    command(roost, "key", "create", "--service-account", "named", "--out", str(path))
    key = Key(roost, path)
    for host in ("api.example.org", "iam.api.example.org:443", "iam.api.example.org:8443"):
        assert key.exchange(key.signed(aud=f"https://{host}/iam/v1/tokens")).status == 200, host
    refused = key.exchange(key.signed(aud="https://iam.elsewhere.example/iam/v1/tokens"))
    assert refused.status == 401 and "api.example.org:8443" in refused.json["message"], refused


def test_api_keys_are_shown_once_scoped_and_ended(roost: Roost, key: Key) -> None:
    path = f"/v1/serviceAccounts/{key.account}/apiKeys"
    secret = command(roost, "api-key", "create", "--service-account", key.account, "--scope", "all").strip()
    assert api_key(roost, secret).status == 200
    assert api_key(roost, secret, "POST", path, {}).status == 403
    listed = roost.get(path)["apiKeys"]
    assert len(listed) == 1 and "secret" not in listed[0] and listed[0]["scope"] == "all"
    assert secret.encode() not in (roost.data / "roost.db").read_bytes()
    narrow = command(roost, "api-key", "create", "--service-account", key.account, "--ttl", "1h").strip()
    answer = api_key(roost, narrow)
    assert answer.status == 403 and "may only call nodes" in answer.json["detail"], answer
    answer = api_key(roost, narrow, "POST", "/datasphere/v1/nodes/nodaaaaaaaaaaaaaaaaa:execute", {})
    assert answer.status == 404, answer
    for identifier in [item["id"] for item in roost.get(path)["apiKeys"]]:
        command(roost, "api-key", "delete", identifier, "--service-account", key.account)
    assert api_key(roost, secret).status == 401
    # One of the gateway's loops had a verdict about this one.
    for _ in range(8):
        answer = api_key(roost, narrow, "POST", "/datasphere/v1/nodes/nodaaaaaaaaaaaaaaaaa:execute", {})
        assert answer.status == 401, answer


def test_api_keys_outlive_a_restart_until_their_end(make_server: Any) -> None:
    roost = make_server()
    made = roost.call("POST", "/v1/serviceAccounts/operator/apiKeys", {"scope": "all", "ttlSeconds": 3600}).json
    brief = roost.call("POST", "/v1/serviceAccounts/operator/apiKeys", {"scope": "all", "ttlSeconds": 1}).json
    roost.kill()
    roost.start()
    assert api_key(roost, made["secret"]).status == 200
    wait_for("the end of a key", lambda: api_key(roost, brief["secret"]).status == 401)
    bad = roost.call("POST", "/v1/serviceAccounts/operator/apiKeys", {"scope": "some"})
    assert bad.status == 400 and bad.json["field"] == "scope"
