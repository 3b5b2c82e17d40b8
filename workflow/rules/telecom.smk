# The exports of the two example firms, made when a configuration asks for them.
EXAMPLE_FIRMS = {
    "desk": [
        "results/exports/example/tickets.csv.gz",
        "results/exports/example/customers.xlsx",
        "results/exports/example/orders.parquet",
        "results/exports/example/staff.duckdb",
    ],
    "telecom": [
        "results/exports/telecom/calls.txt",
        "results/exports/telecom/subscribers.parquet",
    ],
}
EXAMPLE_EXPORTS = {Path(path) for paths in EXAMPLE_FIRMS.values() for path in paths}


rule make_desk_exports:
    input:
        library=library("synthetic.desk"),
    output:
        EXAMPLE_FIRMS["desk"],
    log:
        "logs/exports/desk.log",
    conda:
        "../../environment.yml"
    params:
        generator="desk",
        seed=config["seed"],
    message:
        "Making the exports of the example firm, a service desk in five countries"
    script:
        "../../scripts/make_exports.py"


use rule make_desk_exports as make_telecom_exports with:
    input:
        library=library("synthetic.telecom"),
    output:
        EXAMPLE_FIRMS["telecom"],
    log:
        "logs/exports/telecom.log",
    params:
        generator="telecom",
        seed=config["seed"],
    message:
        "Making the exports of the telecom example, a mobile operator's inbound calls"
