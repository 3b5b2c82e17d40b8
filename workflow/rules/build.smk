rule build_analysis:
    input:
        raw=raw_sources,
        library=library("crosssell.measures", "crosssell.io", "crosssell.results"),
    output:
        table=RESULTS / "data/{study}/analysis.parquet",
        facts=RESULTS / "estimates/{study}.sources.raw.csv",
        info=RESULTS / "estimates/{study}.sources.raw.json",
    log:
        LOGS / "build_analysis.{study}.log",
    conda:
        "../../environment.yml"
    params:
        seed=config["seed"],
    message:
        "Building the analysis table of {wildcards.study} from its raw sources"
    script:
        "../../scripts/build_analysis.py"
