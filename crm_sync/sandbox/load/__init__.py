"""Fills a running sandbox from CSV files that somebody else made, as a load file describes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crm_sync.sandbox.client import SandboxClient
from crm_sync.sandbox.load.blocks import blocks
from crm_sync.sandbox.load.history import read_history
from crm_sync.sandbox.load.loadfile import LoadFile, LoadProblem, read_loadfile, ready_names

__all__ = ["LoadProblem", "Loaded", "load", "read_loadfile", "ready_names"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What came of a load: rows by object, fields that were made, and what was put right on the way."""

    crm: str
    taken: dict[str, int]
    defined: list[str]
    converted: int
    lost: int
    remarks: list[str]


def load(data: Path, loadfile: LoadFile, client: SandboxClient) -> Loaded:
    """Read `data` and put it into the CRM behind `client`. Nothing is sent before everything was read and is right.

    Loading the same file again replaces its rows. Raises LoadProblem, or SandboxRefusal where the sandbox says no.
    """
    crm: Any = client.summary()["crm"]
    history = read_history(loadfile, data, client.now())
    answer = client.seed(blocks(crm, loadfile, history))
    return Loaded(
        crm=crm,
        taken=answer["taken"],
        defined=answer["defined"],
        converted=sum(p.converted is not None for p in history.people),
        lost=sum(p.lost is not None for p in history.people),
        remarks=history.remarks,
    )
