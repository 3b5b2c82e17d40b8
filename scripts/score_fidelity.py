"""Give every printed number its verdict: tables of scores, a picture and a page."""

from crosssell.jobs import job

with job(snakemake):
    from pathlib import Path

    import pandas as pd

    from crosssell import fidelity, io, reproduction, scoreboard, tables
    from crosssell.audit import certificates
    from synthetic.published import load
    from synthetic.published import tables as layouts

    made, out = snakemake.input, snakemake.output
    folder = Path(made.published[0]).parent
    published, relations = load(folder), io.read_yaml(folder / "relations.yaml")
    fits = {Path(path).stem: pd.read_csv(path) for path in made.fits}
    values = reproduction.reproduced(
        published, *map(io.read_yaml, made.specs), tables.Numbers(fits)
    )
    findings = pd.read_csv(made.audit, keep_default_na=False)
    scores = fidelity.fidelity(
        published, values, certificates(findings), relations=relations, seed=snakemake.params.seed
    )
    original = fidelity.hypotheses(published, relations)
    paths = fidelity.paths(original, fits, snakemake.params.own)
    indicators = fidelity.indicators(original, paths)
    picture = scoreboard.picture(published, layouts(folder), scores)
    page = scoreboard.page(
        made.template, scores, findings, figure_svg=scoreboard.svg(picture), indicators=indicators
    )
    with io.replacing(out.picture) as part:
        picture.savefig(part, format="pdf")
    io.write_csv(scores, out.fidelity)
    io.write_csv(fidelity.summary(scores), out.summary)
    io.write_csv(indicators, out.indicators)
    io.write_text(page, out.page)
    io.write_text(fidelity.terminal(scores, findings) + "\n", out.terminal)
