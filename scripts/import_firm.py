"""Check a firm's exports and, only if there is nothing to mend, write its raw tables."""

from crosssell.jobs import job

with job(snakemake) as log:
    from pathlib import Path

    from crosssell import io
    from crosssell.firm import configuration, importing, problems

    params = snakemake.params
    firm = configuration.load(snakemake.input.configuration)
    folders = {study: Path(folder) for study, folder in params.folders.items()}
    try:
        warnings = importing.import_firm(firm, params.models, folders)
    except problems.ImportProblemsError as error:
        io.write_csv(problems.to_frame(error.problems), params.problems)
        log.info("Every problem with its place: %s", params.problems)
        raise
    Path(params.problems).unlink(missing_ok=True)
    io.write_csv(problems.to_frame(warnings), snakemake.output.warnings)
    log.info("%s", problems.describe(firm.name, warnings) or "Nothing to mend.")
