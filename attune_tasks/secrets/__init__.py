"""Secrets: what a reference is, who resolves it, and how an action gets those that it declares."""

from attune_tasks.secrets.file import FileSecretProvider
from attune_tasks.secrets.manager import FetchedSecrets, SecretCheck, SecretManager
from attune_tasks.secrets.provider import SecretProvider, create_provider
from attune_tasks.secrets.records import Observer, ReadRecord, SecretFields
from attune_tasks.secrets.references import SecretReference, parse_reference
from attune_tasks.secrets.storing import how_to_store

__all__ = [
    "FetchedSecrets",
    "FileSecretProvider",
    "Observer",
    "ReadRecord",
    "SecretCheck",
    "SecretFields",
    "SecretManager",
    "SecretProvider",
    "SecretReference",
    "create_provider",
    "how_to_store",
    "parse_reference",
]
