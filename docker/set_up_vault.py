"""The init job of compose.yaml: readies a new Vault, and gives the worker an AppRole of its own.

It may be run any number of times: what is done stays, and a Vault that was restarted is unsealed. Vault's keys are kept
in a volume of this job alone, which does for trying things out: a real Vault is unsealed by its own means.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import hvac
import requests

ADDRESS = "http://vault:8200"
KEYS = Path("/srv/keys/keys.json")
SECRET_ID = Path("/run/vault/secret-id")
SECRETS = Path("/run/secrets/vault_secrets")
POLICY = 'path "secret/data/shop/*" { capabilities = ["read"] }'
WAIT_SECONDS = 60


def main() -> None:
    """Do all of it."""
    client = hvac.Client(url=ADDRESS)
    wait_for(client)
    if not client.sys.is_initialized():
        made = client.sys.initialize(secret_shares=1, secret_threshold=1)
        write(KEYS, json.dumps({"unseal": made["keys"][0], "token": made["root_token"]}))
    keys = json.loads(KEYS.read_text(encoding="utf-8"))
    if client.sys.is_sealed():
        client.sys.submit_unseal_key(keys["unseal"])
    client.token = keys["token"]
    enable(client)
    for path, fields in json.loads(SECRETS.read_text(encoding="utf-8")).items():
        store(client, path, fields)
    if not SECRET_ID.exists():
        answer = client.auth.approle.generate_secret_id("shop-worker")
        write(SECRET_ID, answer["data"]["secret_id"])
    print("Vault is set up: the role shop-worker may read secret/shop/")


def wait_for(client: hvac.Client) -> None:
    """Wait until Vault answers, and no longer than a minute."""
    until = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            client.sys.is_initialized()
        except (requests.ConnectionError, hvac.exceptions.VaultError):
            if time.monotonic() > until:
                sys.exit(f"no Vault answers at {ADDRESS}")
            time.sleep(0.5)
        else:
            return


def enable(client: hvac.Client) -> None:
    """Have the KV engine, the policy and the role there."""
    # A Vault that was just unsealed is on standby for a moment.
    until = time.monotonic() + WAIT_SECONDS
    engines: dict[str, Any] = {}
    while not engines:
        try:
            engines = client.sys.list_mounted_secrets_engines()["data"]
        except hvac.exceptions.VaultError:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)
    if "secret/" not in engines:
        client.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
        time.sleep(1)  # the engine readies itself for version 2
    if "approle/" not in client.sys.list_auth_methods()["data"]:
        client.sys.enable_auth_method("approle")
    client.sys.create_or_update_policy("shop", POLICY)
    role = {"token_policies": ["shop"], "token_ttl": "1h", "token_max_ttl": "24h"}
    client.auth.approle.create_or_update_approle("shop-worker", **role)
    client.auth.approle.update_role_id("shop-worker", "shop-worker")


def store(client: hvac.Client, path: str, fields: dict[str, str]) -> None:
    """Store a secret, unless there is one: it may have been changed since."""
    try:
        client.secrets.kv.v2.read_secret_metadata(path)
    except hvac.exceptions.InvalidPath:
        client.secrets.kv.v2.create_or_update_secret(path, secret=fields)


def write(path: Path, text: str) -> None:
    """Write a file which this user alone can read."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    part.replace(path)


if __name__ == "__main__":
    main()
