"""Estimate models on their samples: for each a tidy table and a JSON with the rest."""

from crosssell.jobs import job

with job(snakemake) as log:
    from pathlib import Path

    import pandas as pd

    from crosssell import analyses, io, samples

    params, data = snakemake.params, pd.read_parquet(snakemake.input.data)
    for csv, json in zip(snakemake.output.csv, snakemake.output.json, strict=True):
        names = dict(zip(("study", "model", "sample"), Path(csv).stem.split("."), strict=True))
        log.info("%(study)s: %(model)s on %(sample)s", names)
        spec = params.fits[Path(csv).stem]
        rows = samples.select(data, spec["sample"], params.seed)
        result = analyses.run(rows, spec["model"], seed=params.seed, **params.resampling)
        table = result.tidy(**names)
        if params.minimum_cell:
            from crosssell.firm.confidentiality import protect

            table = protect(table, params.minimum_cell)
        io.write_csv(table, csv)
        info = names | result.info | {"seed": params.seed, "versions": io.versions()}
        io.write_json(info, json)
