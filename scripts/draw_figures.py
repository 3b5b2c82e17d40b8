"""Draw every figure as PDF for the paper, SVG for the report and PNG for everything else."""

from crosssell.jobs import job

with job(snakemake) as log:
    from pathlib import Path

    import pandas as pd

    from crosssell import figures, io
    from synthetic.published import load

    fits = {Path(path).stem: pd.read_csv(path) for path in snakemake.input.fits}
    numbers = load(Path(snakemake.input.published[0]).parent)
    printed = {number.id: number.value for number in numbers if number.value is not None}
    for name, spec in snakemake.params.figures.items():
        made = figures.draw(spec, fits, printed)
        for ending in ("pdf", "svg", "png"):
            with io.replacing(Path(snakemake.params.folder, f"{name}.{ending}")) as part:
                figures.save(made, part, ending)
        log.info("%s: %s", name, spec["caption"])
