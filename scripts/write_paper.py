"""Write the paper and its numbers as LaTeX, from the results."""

from crosssell.jobs import job

with job(snakemake):
    from pathlib import Path

    import pandas as pd

    from crosssell import io, paper, tables

    numbers = tables.Numbers({Path(p).stem: pd.read_csv(p) for p in snakemake.input.fits})
    text = io.read_yaml(snakemake.input.text)
    scores = paper.score_macros(pd.read_csv(snakemake.input.scores))
    io.write_text(paper.macros(text, numbers, scores), snakemake.output.numbers)
    source = paper.write(
        Path(snakemake.input.template),
        text={*text, *scores},
        tables={name: tables.layout(path) for name, path in snakemake.params.layouts.items()},
        figures=snakemake.params.figures,
        references=snakemake.input.references,
        findings=paper.audit_rows(pd.read_csv(snakemake.input.audit, keep_default_na=False)),
    )
    io.write_text(source, snakemake.output.paper)
