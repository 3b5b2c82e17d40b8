"""Build one study's analysis table from its raw sources."""

from crosssell.jobs import job

with job(snakemake) as log:
    from crosssell import io, measures

    raw = io.read_raw(snakemake.input.raw)
    table = measures.build(raw, snakemake.wildcards.study)
    io.write_parquet(table, snakemake.output[0])
    log.info("%d rows, %d purchases", len(table), table["purchase"].sum())
