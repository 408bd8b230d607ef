"""What can go wrong with Vault, and what to do then. Nothing of a response's body is ever quoted."""

from __future__ import annotations

import shlex
from typing import Final

from attune_tasks.secrets.vault_options import VaultMount, VaultServer

__all__ = ["VaultFailure", "explain", "explain_server"]


class VaultFailure(Exception):  # noqa: N818 - an outcome, told to users by `explain`
    """A request that did not succeed."""

    def __init__(self, reason: str, detail: str = "", request_id: str | None = None) -> None:
        """Keep the reason, a key of the texts here, and a detail that is no part of any response's body.

        `request_id` is Vault's own, where its answer has one: that of a refusal has none.
        """
        super().__init__(reason, detail, request_id)
        self.reason = reason
        self.detail = detail
        self.request_id = request_id


_SERVER_TEXTS: Final = {
    "sealed": "Vault at {url} is sealed: unseal it with `vault operator unseal`, see `vault status -address={url}`",
    "sealed_of_version": (
        "Vault {detail} at {url} is sealed: unseal it with `vault operator unseal`, see `vault status -address={url}`"
    ),
    "standby": "Vault at {url} is a standby which has no active node to ask ({detail}): see `vault operator members`",
    "unready": "Vault at {url} goes on answering {detail}: see its log and `vault status -address={url}`",
    "busy": "Vault at {url} limits the rate (429, {detail}): see `vault list sys/quotas/rate-limit`",
    "unreachable": "no connection to Vault at {url} ({detail}): see whether it runs, and {setting}.url",
    "silent": "Vault at {url} did not answer in time: see `vault status -address={url}`, and secrets.fetch_timeout",
    "certificate": (
        "the certificate of Vault at {url} is not to be trusted ({detail}): see {setting}.ca_file, and whether it is "
        "the right server"
    ),
    "tls": "no TLS with Vault at {url} ({detail}): see {setting}.url, ca_file, client_cert and client_key",
    "certificate_file": "a certificate's file can't be used: see {setting}.ca_file, client_cert and client_key",
    "redirect": "Vault at {url} sends us elsewhere ({detail}): set {setting}.url to the active node or a load balancer",
    "request": "Vault at {url} does not take the request ({detail}): see {setting}.url, namespace and its log",
    "answer": "what answers at {url} does not speak as Vault does: see {setting}.url",
    "token_file": "{detail}: see {setting}.token_file",
    "secret_id_file": "{detail}: see {setting}.approle.secret_id_file",
    "token": (
        "Vault at {url} refuses the token of {setting}: it has expired or was revoked; put a new one there, for "
        "example from `vault token create -policy=…`"
    ),
    "login": (
        "Vault at {url} refuses the login by AppRole ({detail}): see {setting}.approle; a new secret id comes from "
        "`vault write -f auth/{approle}/role/<role>/secret-id`"
    ),
}
_WHO: Final = "`attune-tasks doctor` says who we are"


def explain_server(failure: VaultFailure, server: VaultServer) -> str:
    """Say what is wrong with the server or our login, and what to do."""
    return _SERVER_TEXTS.get(failure.reason, "Vault at {url} failed ({detail})").format(
        url=server.url, detail=failure.detail, setting=server.setting, approle=server.approle_mount
    )


def explain(failure: VaultFailure, mount: VaultMount, path: str, version: int | None) -> str:
    """Say why the secret at `path` can't be had, and what to do: the command, or the policy's line, as it must be."""
    namespace = f"-namespace={shlex.quote(mount.server.namespace)} " if mount.server.namespace else ""
    where = f"{namespace}-mount={shlex.quote(mount.path)}"
    place = shlex.quote(path)
    numbered = f"-version={version} " if version else ""
    get = f"`vault kv get {numbered}{where} {place}`"
    texts = {
        "denied": f"permission denied; the policy of our token needs: {_policy(failure.detail, mount, path)} ({_WHO})",
        "absent": f"there is no such secret, or no such version: look with {get}",
        "deleted": (
            f"that version was deleted: `vault kv metadata get {where} {place}` shows all versions, "
            f"`vault kv undelete {where} -versions={version or '<N>'} {place}` brings it back"
        ),
        "destroyed": (
            f"that version was destroyed for good: `vault kv metadata get {where} {place}` shows all versions; "
            f"write a new one, or name another by ?version="
        ),
        "no_versions": f"the mount {mount.path!r} is a KV engine of version 1, which keeps no versions: drop ?version=",
        "not_kv": f"the mount {mount.path!r} is no KV engine: see `vault secrets list`",
    }
    return texts.get(failure.reason) or explain_server(failure, mount.server)


def _policy(kv_version: str, mount: VaultMount, path: str) -> str:
    """Give the line that is missing; where Vault did not let us see which KV version it is, the line for each."""
    lines = {
        "1": f'path "{mount.path}/{path}" {{ capabilities = ["read"] }}',
        "2": f'path "{mount.path}/data/{path}" {{ capabilities = ["read"] }}',
    }
    return lines.get(kv_version) or f"{lines['2']} (KV version 2) or {lines['1']} (version 1)"
