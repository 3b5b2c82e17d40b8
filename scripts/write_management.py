"""Write the management page and its figures, small groups suppressed."""

from crosssell.jobs import job

with job(snakemake):
    from pathlib import Path

    import pandas as pd

    from crosssell import io, management
    from crosssell.firm import configuration

    firm = configuration.load(snakemake.input.configuration)
    cuts = management.cuts(io.read_raw(snakemake.input.raw), firm.minimum_cell)
    fits = {Path(p).stem: pd.read_csv(p) for p in snakemake.input.fits}
    links = [
        str(Path(p).relative_to(Path(snakemake.output.page).parent))
        for p in [*snakemake.input.tables, *snakemake.input.figures]
    ]
    template = Path(snakemake.input.template)
    cautions = management.cautions(pd.read_csv(snakemake.input.warnings))
    shown = management.panels(cuts, fits)
    io.write_text(
        management.page(template.parent, firm, shown, links, cautions), snakemake.output.page
    )
    io.write_csv(pd.concat(cuts, names=["cut"]).reset_index(level="cut"), snakemake.output.cuts)
