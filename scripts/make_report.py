"""Bundle everything marked for the report into one self-contained HTML file."""

from crosssell.jobs import job

with job(snakemake) as log:
    import subprocess
    import sys
    from tempfile import NamedTemporaryFile

    from crosssell import io

    # The report is made by a second Snakemake that looks at what this one has finished.
    made = snakemake.input
    with NamedTemporaryFile(suffix=".yaml") as config:
        io.write_yaml(snakemake.params.config, config.name)
        command = [sys.executable, "-m", "snakemake", "--nolock", "--cores", "1"]
        command += ["--configfile", config.name, "--report", snakemake.output[0], "--"]
        command += [path for path in made if path not in made.captions]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    log.info(done.stderr if done.returncode else "The report opens in any browser, offline.")
    sys.exit(done.returncode)
