# Paths of the specification curves that are the essays' own specifications: they set the scale.
OWN_PATHS = {
    "part1": "two_step/dollars/uncentred/covariates/everyone/conventional",
    "part2": "three_level/absolute/all/covariates",
}


rule audit_published:
    input:
        published=PUBLISHED,
        library=library("crosssell.audit.*"),
    output:
        RESULTS / "audit.csv",
    log:
        LOGS / "audit_published.log",
    conda:
        "../../environment.yml"
    message:
        "Auditing the printed numbers against one another"
    script:
        "../../scripts/audit_published.py"


rule score_fidelity:
    input:
        published=PUBLISHED,
        audit=rules.audit_published.output[0],
        fits=expand(RESULTS / "estimates/{fit}.csv", fit=fits() + facts()),
        specs=["workflow/specs/tables.yaml", "workflow/specs/text.yaml"],
        template="paper/templates/scoreboard.html.j2",
        library=library(
            "crosssell.fidelity", "crosssell.scoreboard", "crosssell.verdicts"
        ),
    output:
        fidelity=RESULTS / "fidelity.csv",
        summary=RESULTS / "fidelity_summary.csv",
        indicators=RESULTS / "indicators.csv",
        terminal=RESULTS / "summary.txt",
        picture=RESULTS / "figures/scoreboard.pdf",
        page=report(
            RESULTS / "scoreboard.html",
            caption="../report/scoreboard.rst",
            category="Scoreboard",
            labels={"page": "Every printed number, its verdict and the audit"},
        ),
    log:
        LOGS / "score_fidelity.log",
    conda:
        "../../environment.yml"
    params:
        own=OWN_PATHS,
        seed=config["seed"],
    message:
        "Comparing every printed number with its reproduction"
    script:
        "../../scripts/score_fidelity.py"
