"""Make the exports of an example firm, as its own systems would give them."""

from crosssell.jobs import job

with job(snakemake):
    from importlib import import_module
    from pathlib import Path

    generator = import_module(f"synthetic.{snakemake.params.generator}")
    tables = generator.make(seed=snakemake.params.seed)
    generator.export(tables, Path(snakemake.output[0]).parent)
