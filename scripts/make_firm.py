"""Make one study's synthetic firm: its raw sources and the calibration report."""

from crosssell.jobs import job

with job(snakemake):
    from importlib import import_module

    from crosssell import io

    generator = import_module(f"synthetic.{snakemake.params.study}")
    firm = generator.make(seed=snakemake.params.seed, **snakemake.params.firm)
    for path in snakemake.output.raw:
        io.write_csv(firm.raw[path.rsplit("/", 1)[1].removesuffix(".csv")], path)
    io.write_csv(firm.calibration, snakemake.output.calibration)
