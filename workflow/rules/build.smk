rule build_analysis:
    input:
        raw=raw_sources,
        library=library("crosssell.measures", "crosssell.io"),
    output:
        RESULTS / "data/{study}/analysis.parquet",
    log:
        LOGS / "build_analysis.{study}.log",
    conda:
        "../../environment.yml"
    message:
        "Building the analysis table of {wildcards.study} from its raw sources"
    script:
        "../../scripts/build_analysis.py"
