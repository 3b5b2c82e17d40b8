"""Build one study's analysis table from the raw tables a firm has."""

from crosssell.jobs import job

with job(snakemake) as log:
    from crosssell import io
    from crosssell.firm import configuration, studies

    firm = configuration.load(snakemake.input.configuration)
    table = studies.build(io.read_raw(snakemake.input.raw), firm, snakemake.wildcards.study)
    io.write_parquet(table, snakemake.output[0])
    log.info("%d rows, %d purchases", len(table), table["purchase"].sum())
