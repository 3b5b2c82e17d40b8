rule write_paper:
    input:
        fits=expand(RESULTS / "estimates/{fit}.csv", fit=fits() + facts()),
        tables=tables_as("tex"),
        scores=rules.score_fidelity.output.summary,
        audit=rules.audit_published.output[0],
        template="paper/paper.tex.j2",
        references="paper/refs.bib",
        text="workflow/specs/text.yaml",
        library=library("crosssell.paper", "crosssell.tables"),
    output:
        paper=RESULTS / "paper.tex",
        numbers=RESULTS / "numbers.tex",
    log:
        LOGS / "write_paper.log",
    conda:
        "../../environment.yml"
    params:
        layouts={name: spec["layout"] for name, spec in TABLES.items()},
        figures=FIGURES,
    message:
        "Writing the paper around the results"
    script:
        "../../scripts/write_paper.py"


rule compile_paper:
    input:
        paper=rules.write_paper.output.paper,
        numbers=rules.write_paper.output.numbers,
        tables=tables_as("tex"),
        figures=rules.draw_figures.output.pdf,
        scoreboard=rules.score_fidelity.output.picture,
        library=library("crosssell.typeset"),
    output:
        RESULTS / "paper.pdf",
    log:
        LOGS / "compile_paper.log",
    conda:
        "../../environment.yml"
    message:
        "Compiling the paper"
    script:
        "../../scripts/compile_paper.py"


rule make_report:
    input:
        pages=tables_as("html"),
        figures=rules.draw_figures.output.svg,
        scoreboard=branch(COMPLETE, then=str(rules.score_fidelity.output.page)),
        captions=sorted(str(path) for path in Path("workflow/report").glob("*.rst")),
    output:
        RESULTS / "report.html",
    log:
        LOGS / "make_report.log",
    conda:
        "../../environment.yml"
    params:
        config=dict(config),
    message:
        "Bundling tables, figures and the paper into the report"
    script:
        "../../scripts/make_report.py"
