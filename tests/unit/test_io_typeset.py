import os

import numpy as np
import pandas as pd
import pytest

from crosssell import io, typeset
from crosssell.errors import DataError


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    target = tmp_path / "a.txt"
    io.write_text("old", target)

    def half_a_write():
        with io.replacing(target) as part:
            part.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half_a_write()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_csv_keeps_every_digit(tmp_path):
    table = pd.DataFrame({"x": [np.pi, 1 / 3, 1e-300]})
    io.write_csv(table, tmp_path / "t.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "t.csv"), table, check_exact=True)


def test_raw_identifiers_stay_text_and_na_is_a_word(tmp_path):
    (tmp_path / "customers.csv").write_text("customer_id,country,warranty_years\n007,NA,2\n008,,\n")
    table = io.read_raw([tmp_path / "customers.csv"])["customers"]
    assert table["customer_id"].tolist() == ["007", "008"]
    assert table["country"][0] == "NA"
    assert pd.isna(table["country"][1])
    assert pd.isna(table["warranty_years"][1])


def test_a_missing_raw_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"sales\.csv is missing"):
        io.read_raw([tmp_path / "sales.csv"])


def document(folder, body):
    source = folder / "paper.tex"
    fonts = r"\usepackage[T1]{fontenc}\usepackage{lmodern}"  # those of the paper
    source.write_text(rf"\documentclass{{article}}{fonts}\begin{{document}}{body}\end{{document}}")
    return source


def test_the_locked_environment_compiles_without_any_tex_on_the_path(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    engine = typeset.compile_pdf(document(tmp_path, "Text."), tmp_path / "paper.pdf", tmp_path)
    assert engine == "the locked environment's pdflatex"
    assert (tmp_path / "paper.pdf").read_bytes().startswith(b"%PDF")


def test_without_any_engine_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(typeset, "engines", lambda: iter(()))
    with pytest.raises(typeset.TypesettingError, match="Install a TeX distribution"):
        typeset.compile_pdf(document(tmp_path, "Text."), tmp_path / "paper.pdf", tmp_path)


def test_a_mistake_in_the_source_is_quoted(tmp_path):
    with pytest.raises(typeset.TypesettingError, match="Undefined control sequence"):
        typeset.compile_pdf(document(tmp_path, r"\nonsense"), tmp_path / "paper.pdf", tmp_path)
    assert not (tmp_path / "paper.pdf").exists()
