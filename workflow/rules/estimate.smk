# A job costs seconds to start and most fits take less, so that a study's fits share two jobs: those
# of the models marked `heavy` in models.yaml, and all others.
for study in config["studies"]:
    for batch, names in batches(study).items():

        rule:
            name:
                f"fit_{study}_{batch}"
            input:
                data=RESULTS / f"data/{study}/analysis.parquet",
                library=library(
                    "crosssell.analyses.*",
                    "crosssell.*heckman",
                    "crosssell.*nested*",
                    "crosssell.twostep",
                    "crosssell.resampling",
                    "crosssell.predictions",
                    "crosssell.hypotheses",
                    "crosssell.design",
                    "crosssell.samples",
                ),
            output:
                csv=expand(RESULTS / "estimates/{fit}.csv", fit=names),
                json=expand(RESULTS / "estimates/{fit}.json", fit=names),
            log:
                LOGS / f"fit_{study}_{batch}.log",
            conda:
                "../../environment.yml"
            # for clusters: the rule's name is the study's, which a profile cannot know
            resources:
                mem_mb=8000,
                runtime=120,
            params:
                fits={name: spec_of(name) for name in names},
                seed=config["seed"],
                minimum_cell=FIRM.minimum_cell if FIRM else 0,
                resampling=config["resampling"],
            message:
                f"Estimating {len(names)} {batch} fits of {study}"
            script:
                "../../scripts/fit_models.py"
