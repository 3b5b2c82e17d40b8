"""Bundle everything marked for the report into one self-contained HTML file."""

from crosssell.jobs import job

with job(snakemake) as log:
    import subprocess
    import sys

    # The report is made by a second Snakemake that looks at what this one has finished.
    made, config = snakemake.input, snakemake.params.config
    command = [sys.executable, "-m", "snakemake", "--nolock", "--cores", "1", "--configfile"]
    command += [*config, "--report", snakemake.output[0], "--"]
    command += [path for path in made if path not in made.captions]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    log.info(done.stderr if done.returncode else "The report opens in any browser, offline.")
    sys.exit(done.returncode)
