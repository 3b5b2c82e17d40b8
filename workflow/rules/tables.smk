TABLES = settings.shown(SPECS["tables"], config["studies"])


rule set_tables:
    input:
        fits=expand(RESULTS / "estimates/{fit}.csv", fit=fits()),
        layouts=sorted({spec["layout"] for spec in TABLES.values()}),
        templates=[
            "paper/templates/table.tex.j2",
            "paper/templates/notes.tex.j2",
            "paper/templates/table.html.j2",
        ],
        library=library("crosssell.tables"),
    output:
        tex=expand(RESULTS / "tables/{table}.tex", table=TABLES),
        notes=expand(RESULTS / "tables/{table}.notes.tex", table=TABLES),
        csv=expand(RESULTS / "tables/{table}.csv", table=TABLES),
        html=[
            report(
                RESULTS / f"tables/{name}.html",
                caption="../report/tables.rst",
                category=ESSAYS[spec["study"]],
                subcategory="Tables",
                labels={"table": spec.get("title", name)},
            )
            for name, spec in TABLES.items()
        ],
    log:
        LOGS / "set_tables.log",
    conda:
        "../../environment.yml"
    params:
        tables=TABLES,
        folder=lambda wildcards, output: str(Path(output.tex[0]).parent),
    message:
        "Setting the tables as .tex, .html and .csv"
    script:
        "../../scripts/set_tables.py"
