"""Compile the paper to PDF."""

from crosssell.jobs import job

with job(snakemake) as log:
    from pathlib import Path

    from crosssell import typeset

    source = Path(snakemake.input.paper)
    engine = typeset.compile_pdf(source, Path(snakemake.output[0]), source.parent)
    log.info("Compiled by %s", engine)
