TABLES = settings.shown(SPECS["tables"], config["studies"])


for study in sorted({spec["study"] for spec in TABLES.values()}):

    rule:
        name:
            f"set_tables_{study}"
        input:
            fits=expand(RESULTS / "estimates/{fit}.csv", fit=fits(study)),
            layouts=sorted({spec["layout"] for spec in tables_of(study).values()}),
            templates=[
                "paper/templates/table.tex.j2",
                "paper/templates/notes.tex.j2",
                "paper/templates/table.html.j2",
            ],
            library=library("crosssell.tables"),
        output:
            tex=expand(RESULTS / "tables/{table}.tex", table=tables_of(study)),
            notes=expand(RESULTS / "tables/{table}.notes.tex", table=tables_of(study)),
            csv=expand(RESULTS / "tables/{table}.csv", table=tables_of(study)),
            html=[
                report(
                    RESULTS / f"tables/{name}.html",
                    caption="../report/tables.rst",
                    category=ESSAYS[study],
                    subcategory="Tables",
                    labels={"table": spec.get("title", name)},
                )
                for name, spec in tables_of(study).items()
            ],
        log:
            LOGS / f"set_tables_{study}.log",
        conda:
            "../../environment.yml"
        params:
            tables=tables_of(study),
            folder=lambda wildcards, output: str(Path(output.tex[0]).parent),
        message:
            f"Setting the tables of {study} as .tex, .html and .csv"
        script:
            "../../scripts/set_tables.py"
