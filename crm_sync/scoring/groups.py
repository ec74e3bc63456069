"""People who belong together: those of one account stay on one side of every split."""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from crm_sync.domain.addresses import EmailKind, domain
from crm_sync.domain.changes import Role

PLACEHOLDER = 0.01
"""A company name or domain that more than this share of all people have is no account but a placeholder."""

FEW = 20


def groups(held: pl.DataFrame, people: pl.DataFrame) -> pl.DataFrame:
    """person_id and `account`: the smallest person id of those who share an account record, company name or domain.

    `held` is the past's, `people` has person_id, company, email and email_kind.
    """
    works = pl.col("email_kind") == EmailKind.WORK.value
    keys = pl.concat(
        [
            held.filter(pl.col("role") == Role.ACCOUNT.value).select(
                "person_id", pl.format("record {}", "record_id").alias("key")
            ),
            people.select("person_id", pl.format("company {}", pl.col("company").str.to_lowercase()).alias("key")),
            people.filter(works).select("person_id", pl.format("domain {}", domain(pl.col("email"))).alias("key")),
        ]
    ).drop_nulls()
    most = max(FEW, int(PLACEHOLDER * len(people)))
    shared = keys.unique().filter(pl.len().over("key") <= most, pl.len().over("key") > 1)
    nodes = people["person_id"].unique().sort()
    rows = nodes.search_sorted(shared["person_id"]).to_numpy()
    columns = shared["key"].rank("dense").to_numpy().astype(np.int64) - 1 if len(shared) else np.empty(0, np.int64)
    size = len(nodes) + int(columns.max(initial=-1)) + 1
    edges = coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns + len(nodes))), shape=(size, size))
    labels = connected_components(edges, directed=False)[1][: len(nodes)] if len(nodes) else np.empty(0, np.int64)
    found = pl.DataFrame({"person_id": nodes, "label": labels})
    return found.select("person_id", pl.col("person_id").min().over("label").alias("account"))
