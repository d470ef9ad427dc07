"""Coordinates, thresholds and regions by one engine: `regions_client.py ENGINE IN OUT` prints its seconds, imports left out.

Runs in the engine's own environment. All read `id` and `scores`, and write id, k, mean, variance and region.
"""

from __future__ import annotations

import json
import sys
import time


def by_duckdb(given: str, written: str) -> float:
    import duckdb

    start = time.perf_counter()
    base = duckdb.connect()
    base.execute(
        "CREATE TABLE place AS SELECT id, len(scores) AS k, list_avg(scores) AS mean, list_var_pop(scores) AS variance "
        f"FROM read_parquet('{given}')"
    )
    high = base.execute("SELECT quantile_disc(variance, 2 / 3) FROM place").fetchone()[0]
    middle = base.execute(f"SELECT median(mean) FROM place WHERE variance < {high}").fetchone()[0]
    region = f"CASE WHEN variance >= {high} THEN 'high_var' WHEN mean >= {middle} THEN 'high_avg' ELSE 'low_avg' END"
    base.execute(f"COPY (SELECT *, {region} AS region FROM place) TO '{written}' (FORMAT parquet, COMPRESSION zstd)")
    return time.perf_counter() - start


def by_polars(given: str, written: str) -> float:
    import polars as pl

    start = time.perf_counter()
    scores = pl.col("scores").list
    place = pl.read_parquet(given, columns=["id", "scores"]).select(
        "id", k=scores.len(), mean=scores.mean(), variance=scores.var(ddof=0)
    )
    high = place["variance"].quantile(2 / 3)
    middle = place.filter(pl.col("variance") < high)["mean"].median()
    region = pl.when(pl.col("variance") >= high).then(pl.lit("high_var"))
    region = region.when(pl.col("mean") >= middle).then(pl.lit("high_avg")).otherwise(pl.lit("low_avg"))
    place.with_columns(region=region).write_parquet(written, compression="zstd")
    return time.perf_counter() - start


def by_ours(given: str, written: str) -> float:
    import argilla_admap.commands as admap
    import argilla_admap.mapping.data_map
    import argilla_admap.mapping.regions.alone  # noqa: F401  # imports are not counted

    start = time.perf_counter()
    admap.map(given, written, regions_only=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    engine = {"duckdb": by_duckdb, "polars": by_polars, "ours": by_ours}[sys.argv[1]]
    seconds = engine(sys.argv[2], sys.argv[3])
    print(json.dumps({"seconds": seconds, "cpu_seconds": time.process_time()}))
