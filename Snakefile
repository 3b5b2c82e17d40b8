# The package's entrance. `default_target` only counts here: in an included file Snakemake ignores it.
include: "workflow/Snakefile"


rule all:
    default_target: True
    input:
        rules.everything.input,
