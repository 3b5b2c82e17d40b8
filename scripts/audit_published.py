"""Judge the declared relations between the printed numbers."""

from crosssell.jobs import job

with job(snakemake) as log:
    from pathlib import Path

    from crosssell import io
    from crosssell.audit import audit
    from synthetic.published import load

    folder = Path(snakemake.input.published[0]).parent
    findings = audit(load(folder), io.read_yaml(folder / "relations.yaml"))
    io.write_csv(findings, snakemake.output[0])
    log.info(findings["verdict"].value_counts().to_string())
