"""Packs: folders of actions, read from YAML and checked when they are loaded."""

from __future__ import annotations

from attune_tasks.packs.actions import Action, Pack, SecretDeclaration
from attune_tasks.packs.content import content_of
from attune_tasks.packs.parameters import ParameterSchema, SecretParameter, ValidatedParameters
from attune_tasks.packs.registry import PackRegistry

__all__ = [
    "Action",
    "Pack",
    "PackRegistry",
    "ParameterSchema",
    "SecretDeclaration",
    "SecretParameter",
    "ValidatedParameters",
    "content_of",
]
