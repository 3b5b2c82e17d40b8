# Another firm's data: read by its configuration, checked, and given to the same rules as the essays'.
# Included instead of synthesise.smk and build.smk when the configuration has the key `firm`.


def rows(path):
    """Files that hold a firm's rows go when nothing needs them any more, unless it wants them kept."""
    return path if FIRM.keep_rows else temp(path)


rule import_firm:
    input:
        configuration=FIRM.path,
        exports=[
            p for p in FIRM.exports() if Path(p).exists() or Path(p) in EXAMPLE_EXPORTS
        ],
        schemas=["workflow/schemas/raw.yaml", "workflow/schemas/firm.yaml"],
        library=library("crosssell.firm.*", "crosssell.measures"),
    output:
        raw=[
            rows(str(RESULTS / f"data/{study}/raw/{table}.csv"))
            for study in FIRM.studies
            for table in RAW[study]
        ],
        warnings=RESULTS / "import/warnings.csv",
    log:
        LOGS / "import_firm.log",
    conda:
        "../../environment.yml"
    params:
        models=SPECS["models"],
        folders={study: str(RESULTS / f"data/{study}/raw") for study in FIRM.studies},
        problems=str(LOGS / "problems.csv"),
    message:
        f"Checking the exports of {FIRM.name} and reading them as raw tables"
    script:
        "../../scripts/import_firm.py"


rule build_analysis:
    input:
        configuration=FIRM.path,
        raw=raw_sources,
        library=library("crosssell.measures", "crosssell.firm.*", "crosssell.io"),
    output:
        rows(RESULTS / "data/{study}/analysis.parquet"),
    log:
        LOGS / "build_analysis.{study}.log",
    conda:
        "../../environment.yml"
    message:
        "Building the analysis table of {wildcards.study} from the measures the data give"
    script:
        "../../scripts/build_firm_analysis.py"


rule shrink_layouts:
    input:
        configuration=FIRM.path,
        layouts=sorted({change["layout"] for change in LAYOUTS.values()}),
        library=library("crosssell.firm.shrinking"),
    output:
        expand(RESULTS / "layouts/{table}.yaml", table=LAYOUTS),
    log:
        LOGS / "shrink_layouts.log",
    conda:
        "../../environment.yml"
    params:
        changes=LAYOUTS,
    message:
        "Leaving out of the tables what the data do not have"
    script:
        "../../scripts/shrink_layouts.py"


rule write_management:
    input:
        configuration=FIRM.path,
        raw=[
            str(RESULTS / f"data/{FIRM.studies[0]}/raw/{table}.csv")
            for table in RAW[FIRM.studies[0]]
        ],
        warnings=rules.import_firm.output.warnings,
        fits=[
            RESULTS / f"estimates/{fit}.csv"
            for fit in fits()
            if fit.split(".")[1] in ("pitch_values", "routing")
        ],
        tables=expand(RESULTS / "tables/{table}.html", table=LAYOUTS),
        figures=expand(RESULTS / "figures/{figure}.svg", figure=SPECS["figures"]),
        template="paper/templates/management.html.j2",
        library=library("crosssell.management", "crosssell.firm.*"),
    output:
        page=report(RESULTS / "management.html", category="Management"),
        cuts=RESULTS / "management.csv",
    log:
        LOGS / "write_management.log",
    conda:
        "../../environment.yml"
    message:
        "Writing the management page"
    script:
        "../../scripts/write_management.py"
