"""Write the tables' layouts without the rows and columns that a firm's data lack."""

from crosssell.jobs import job

with job(snakemake):
    from pathlib import Path

    import yaml

    from crosssell import io, tables
    from crosssell.firm.shrinking import shrink_layout

    for path in snakemake.output:
        change = snakemake.params.changes[Path(path).stem]
        smaller = shrink_layout(
            tables.layout(change["layout"]),
            set(change["lacking"]),
            change["lost_columns"],
            set(change["note_numbers"]),
        )
        io.write_text(yaml.safe_dump(smaller, allow_unicode=True, sort_keys=False), path)
