"""Write the paper and its numbers as LaTeX, from the results."""

from crosssell.jobs import job

with job(snakemake):
    from pathlib import Path

    import pandas as pd

    from crosssell import io, paper, tables

    numbers = tables.Numbers({Path(p).stem: pd.read_csv(p) for p in snakemake.input.fits})
    macros = paper.macros(io.read_yaml(snakemake.input.text), numbers)
    io.write_text(macros, snakemake.output.numbers)
    layouts = {name: tables.layout(path) for name, path in snakemake.params.layouts.items()}
    template = Path(snakemake.input.template)
    io.write_text(
        paper.write(template, layouts, snakemake.input.references), snakemake.output.paper
    )
