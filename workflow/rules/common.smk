import os
import sys
from pathlib import Path

from crosssell import settings
from crosssell.errors import CrossSellError
from crosssell.firm import configuration
from crosssell.io import read_yaml

# Results may derive from confidential data: readable by their owner only.
os.umask(0o077)

try:
    settings.check(config, Path(workflow.basedir, "workflow/schemas/config.yaml"))
    SPECS = settings.specs(Path(workflow.basedir, "workflow/specs"))
    FIRM = configuration.load(config["firm"]) if "firm" in config else None
except CrossSellError as error:
    # Not a WorkflowError, which would add where in this file it was raised.
    sys.exit(str(error))

RESULTS = Path(config["results"])
LOGS = Path("logs", RESULTS.name)
COMPLETE = not FIRM and set(config["studies"]) == {"part1", "part2"}
ESSAYS = {"part1": "Essay I", "part2": "Essay II"}
RAW = {
    "part1": "customers models encounters failures agents sales survey".split(),
    "part2": "customers models encounters failures agents agent_days sales".split(),
}
if FIRM:
    from crosssell.firm import shrinking

    # Another firm's data take the place of the synthetic firm, in a results folder of their own.
    RESULTS, LOGS = RESULTS / FIRM.name, LOGS / FIRM.name
    ESSAYS["telecom"] = "Inbound calls"
    config["studies"] = FIRM.studies
    RAW = {study: sorted(FIRM.tables) for study in FIRM.studies}
    SPECS, LAYOUTS = shrinking.for_firm(
        SPECS,
        read_yaml(Path(workflow.basedir, "workflow/specs/firm.yaml")),
        FIRM,
        str(RESULTS / "layouts"),
    )

PUBLISHED = sorted(str(path) for path in Path("synthetic/published").glob("*.yaml"))


wildcard_constraints:
    study="part1|part2|telecom",
    model="[a-z0-9_]+",
    sample="[a-z0-9_]+",


def library(*patterns):
    """Source files that a rule's result depends on: editing one reruns the rule."""
    folders = {"crosssell": Path("scripts/crosssell"), "synthetic": Path("synthetic")}
    found = []
    for pattern in patterns:
        package, _, name = pattern.partition(".")
        found += folders[package].glob(f"{name.replace('.', '/')}.py")
    return sorted(str(path) for path in found)


def firm_tables(study):
    """Pattern of a study's raw tables, spelled out: Snakemake needs each output by name."""
    return [str(RESULTS / f"data/{study}/raw/{table}.csv") for table in RAW[study]]


def raw_sources(wildcards):
    """Raw tables of a study."""
    return expand(
        RESULTS / "data/{study}/raw/{table}.csv",
        study=wildcards.study,
        table=RAW[wildcards.study],
    )


def fits(study=None):
    """Names of every estimate, `study.model.sample`."""
    return [
        f"{s}.{name}.{sample}"
        for s in config["studies"]
        if study in (None, s)
        for name, model in SPECS["models"][s].items()
        for sample in model.get("samples", ["full"])
    ]


def tables_of(study):
    """Specifications of a study's tables."""
    return {name: spec for name, spec in TABLES.items() if spec["study"] == study}


def tables_as(ending):
    """Files of all tables in a format."""
    return expand(RESULTS / f"tables/{{table}}.{ending}", table=TABLES)


def facts():
    """Names of what is said of each study's raw sources, which stands beside the estimates."""
    return [f"{study}.sources.raw" for study in config["studies"]]


def spec_of(fit):
    """Model and sample specification of a fit `study.model.sample`."""
    study, model, sample = fit.split(".")
    return {
        "model": SPECS["models"][study][model],
        "sample": SPECS["samples"][study][sample],
    }


def batches(study):
    """Fits of a study by batch, empty batches left out."""
    heavy = {name for name in fits(study) if spec_of(name)["model"].get("heavy")}
    named = {
        "light": [name for name in fits(study) if name not in heavy],
        "heavy": sorted(heavy),
    }
    return {batch: names for batch, names in named.items() if names}
