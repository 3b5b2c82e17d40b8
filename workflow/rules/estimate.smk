rule fit_model:
    input:
        data=rules.build_analysis.output[0],
        library=library(
            "crosssell.analyses.*",
            "crosssell.*heckman",
            "crosssell.*nested*",
            "crosssell.resampling",
            "crosssell.design",
            "crosssell.samples",
        ),
    output:
        csv=RESULTS / "estimates/{study}.{model}.{sample}.csv",
        json=RESULTS / "estimates/{study}.{model}.{sample}.json",
    log:
        LOGS / "fit_model.{study}.{model}.{sample}.log",
    conda:
        "../../environment.yml"
    params:
        model=lambda wildcards: SPECS["models"][wildcards.study][wildcards.model],
        sample=lambda wildcards: SPECS["samples"][wildcards.study][wildcards.sample],
        seed=config["seed"],
        minimum_cell=FIRM.minimum_cell if FIRM else 0,
        resampling=config["resampling"],
    message:
        "Estimating {wildcards.model} of {wildcards.study} on the sample {wildcards.sample}"
    script:
        "../../scripts/fit_model.py"
