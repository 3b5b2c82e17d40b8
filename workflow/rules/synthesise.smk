rule make_firm_part1:
    input:
        published=PUBLISHED,
        library=library("synthetic.*", "synthetic.part1.*"),
    output:
        raw=firm_tables("part1"),
        calibration=RESULTS / "calibration/part1.csv",
    log:
        LOGS / "make_firm.part1.log",
    # Everything waits for the firms; the audit, which is ready at once too, is needed last.
    priority: 1
    conda:
        "../../environment.yml"
    params:
        study="part1",
        seed=config["seed"],
        firm=config["synthetic"]["part1"],
    message:
        "Making the synthetic firm of Essay I: 6782 customers, 498 buyers"
    script:
        "../../scripts/make_firm.py"


use rule make_firm_part1 as make_firm_part2 with:
    input:
        published=PUBLISHED,
        library=library("synthetic.*", "synthetic.part2.*"),
    output:
        raw=firm_tables("part2"),
        calibration=RESULTS / "calibration/part2.csv",
    log:
        LOGS / "make_firm.part2.log",
    params:
        study="part2",
        seed=config["seed"],
        firm=config["synthetic"]["part2"],
    message:
        "Making the synthetic firm of Essay II: 117,721 encounters in seven countries"
