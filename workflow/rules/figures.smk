FIGURES = settings.shown(SPECS["figures"], config["studies"])


rule draw_figures:
    input:
        fits=expand(
            RESULTS / "estimates/{fit}.csv",
            fit=sorted(set().union(*map(settings.fits_of, FIGURES.values()))),
        ),
        published=PUBLISHED,
        library=library("crosssell.figures", "crosssell.diagrams"),
    output:
        pdf=expand(RESULTS / "figures/{figure}.pdf", figure=FIGURES),
        png=expand(RESULTS / "figures/{figure}.png", figure=FIGURES),
        svg=[
            report(
                RESULTS / f"figures/{name}.svg",
                caption=f"../report/{name}.rst",
                category=ESSAYS[spec["study"]],
                subcategory="Figures",
                labels={"figure": spec["title"]},
            )
            for name, spec in FIGURES.items()
        ],
    log:
        LOGS / "draw_figures.log",
    conda:
        "../../environment.yml"
    params:
        figures=FIGURES,
        folder=lambda wildcards, output: str(Path(output.pdf[0]).parent),
    message:
        "Drawing the figures"
    script:
        "../../scripts/draw_figures.py"
