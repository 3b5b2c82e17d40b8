"""Set every table in three formats, from its layout, its specification and the estimates."""

from crosssell.jobs import job

with job(snakemake):
    from pathlib import Path

    import pandas as pd

    from crosssell import io, tables

    numbers = tables.Numbers({Path(p).stem: pd.read_csv(p) for p in snakemake.input.fits})
    render = tables.renderers(Path(snakemake.input.templates[0]).parent)
    for name, spec in snakemake.params.tables.items():
        table = tables.build(name, tables.layout(spec["layout"]), spec, numbers)
        for ending, setter in render.items():
            io.write_text(setter(table), Path(snakemake.params.folder, f"{name}.{ending}"))
