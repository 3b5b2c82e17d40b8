"""Scripts run as Snakemake runs them, with a stand-in for the object it hands over."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from tests.unit.test_measures import raw_of_three_customers


class Files(list):
    """A list whose members may also have names, as Snakemake's inputs and outputs."""

    def __init__(self, *items, **named):
        super().__init__([*items, *named.values()])
        self.__dict__.update(named)


@pytest.fixture
def run(root, tmp_path):
    """Run one script; returns the text of its log."""

    def run(name, **parts):
        log = tmp_path / f"{name}.log"
        handed = SimpleNamespace(log=[str(log)], **parts)
        runpy.run_path(str(root / f"scripts/{name}.py"), {"snakemake": handed})
        return log.read_text()

    return run


@pytest.fixture
def raw_files(tmp_path):
    paths = []
    for name, table in raw_of_three_customers().items():
        paths.append(tmp_path / f"{name}.csv")
        table.to_csv(paths[-1], index=False)
    return paths


def analysis_outputs(tmp_path):
    """What build_analysis writes, and what else it is told."""
    names = {"table": "analysis.parquet", "facts": "facts.csv", "info": "facts.json"}
    return {
        "wildcards": SimpleNamespace(study="part1"),
        "output": Files(**{key: str(tmp_path / name) for key, name in names.items()}),
        "params": SimpleNamespace(seed=1),
    }


def test_build_analysis_writes_the_table_and_says_its_size(run, raw_files, tmp_path):
    parts = analysis_outputs(tmp_path)
    log = run("build_analysis", input=Files(raw=raw_files), **parts)
    assert log == "2 rows, 1 purchases\n"
    assert pd.read_parquet(parts["output"].table)["customer_id"].tolist() == ["1", "2"]


def test_build_analysis_keeps_facts_of_the_raw_sources_with_their_sidecar(run, raw_files, tmp_path):
    parts = analysis_outputs(tmp_path)
    run("build_analysis", input=Files(raw=raw_files), **parts)
    rows = pd.read_csv(parts["output"].facts).set_index(["equation", "term"])["estimate"]
    assert rows["distinct", "failures.rater"] == 4
    sidecar = json.loads((tmp_path / "facts.json").read_text())
    assert (sidecar["model"], sidecar["n"], sidecar["seed"]) == ("sources", 4, 1)


def test_a_users_mistake_is_a_message_and_leaves_nothing_behind(run, raw_files, tmp_path, capsys):
    parts = analysis_outputs(tmp_path)
    broken = [path for path in raw_files if path.stem != "sales"] + [
        tmp_path / "gone" / "sales.csv"
    ]
    with pytest.raises(SystemExit) as stopped:
        run("build_analysis", input=Files(raw=broken), **parts)
    assert stopped.value.code == 1
    log = (tmp_path / "build_analysis.log").read_text()
    assert "sales.csv is missing" in log
    assert "Traceback" not in log + capsys.readouterr().err
    assert not any(Path(path).exists() for path in parts["output"])


def test_fit_models_writes_tidy_estimates_and_a_sidecar_for_each(run, tmp_path):
    data = tmp_path / "analysis.parquet"
    pd.DataFrame({"y": [1.0, 2.0, 4.0, 3.0], "x": [0.0, 1.0, 2.0, 3.0]}).to_parquet(data)
    names = ["a.b.c", "a.b.full"]
    output = Files(
        csv=[str(tmp_path / f"{name}.csv") for name in names],
        json=[str(tmp_path / f"{name}.json") for name in names],
    )
    model = {"analysis": "ols", "outcome": "y", "terms": ["x"], "samples": ["c", "full"]}
    samples = {"a.b.c": {"where": {"x": [0, 1, 2]}}, "a.b.full": {}}
    params = SimpleNamespace(
        fits={name: {"model": model, "sample": samples[name]} for name in names},
        seed=1,
        minimum_cell=0,
        resampling={"bootstrap": 20, "holdout": 20},
    )
    run("fit_models", input=Files(data=str(data)), output=output, params=params)
    slopes = [pd.read_csv(path).set_index("term").loc["x", "estimate"] for path in output.csv]
    assert slopes == pytest.approx([1.5, 0.8])
    sidecar = json.loads((tmp_path / "a.b.c.json").read_text())
    assert (sidecar["n"], sidecar["seed"], sidecar["sample"]) == (3, 1, "c")
    assert "numpy" in sidecar["versions"]
