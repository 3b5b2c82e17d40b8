"""Build one study's analysis table from its raw sources."""

from crosssell.jobs import job

with job(snakemake) as log:
    from crosssell import io, measures

    raw = io.read_raw(snakemake.input.raw)
    table = measures.build(raw, snakemake.wildcards.study)
    io.write_parquet(table, snakemake.output.table)
    names = {"study": snakemake.wildcards.study, "model": "sources", "sample": "raw"}
    facts = measures.facts(raw, snakemake.wildcards.study)
    io.write_csv(facts.tidy(**names), snakemake.output.facts)
    info = names | facts.info | {"seed": snakemake.params.seed, "versions": io.versions()}
    io.write_json(info, snakemake.output.info)
    log.info("%d rows, %d purchases", len(table), table["purchase"].sum())
