"""Estimate one model on one sample: a tidy table of estimates and a JSON with the rest."""

from crosssell.jobs import job

with job(snakemake) as log:
    import pandas as pd

    from crosssell import analyses, io, samples
    from crosssell.firm.confidentiality import protect

    params, names = snakemake.params, dict(snakemake.wildcards)
    data = samples.select(pd.read_parquet(snakemake.input.data), params.sample, params.seed)
    result = analyses.run(data, params.model, seed=params.seed, **params.resampling)
    rows = result.tidy(**names)
    if params.minimum_cell:
        rows = protect(rows, params.minimum_cell)
    io.write_csv(rows, snakemake.output.csv)
    io.write_json(
        names | result.info | {"seed": params.seed, "versions": io.versions()},
        snakemake.output.json,
    )
