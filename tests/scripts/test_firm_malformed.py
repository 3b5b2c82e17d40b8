"""Three hundred malformed inputs: each ends in a clear message, a failing status and no result."""

from __future__ import annotations

import gzip
import importlib.util
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))
import firm_exports

ROOT = Path(__file__).resolve().parents[2]
CASES = 300
NUMBERS = {
    "customers": ["warranty_years", "gross_margin"],
    "encounters": ["minutes", "offer_made", "offer_related"],
    "failures": ["severity"],
    "agents": ["rank"],
    "sales": ["revenue", "list_price", "units", "categories"],
    "survey": ["satisfaction"],
}
DATES = {"customers": "purchase_date", "encounters": "started_at"}
TEXTS = {
    "customers": ["customer_id", "model"],
    "encounters": ["encounter_id", "customer_id", "agent_id", "failure_code"],
    "agents": ["agent_id"],
    "sales": ["sale_id", "encounter_id"],
}
Corruption = Callable[[random.Random, Path], str]


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _set(path: Path, rng: random.Random, column: str, value: str) -> None:
    """Put a value into some cells of a column."""
    lines = _lines(path)
    place = lines[0].split(",").index(column)
    for row in rng.sample(range(1, len(lines)), rng.choice([1, 3, 20])):
        cells = lines[row].split(",")
        cells[place] = value
        lines[row] = ",".join(cells)
    _write(path, lines)


def wrong_type(rng, folder):
    table = rng.choice(list(NUMBERS))
    value = rng.choice(
        ["abc", "1,5x", "12 %", "n/a", "--", "1.2.3", "0x1F", "true", "€5", "1e", "²"]
    )
    _set(folder / f"{table}.csv", rng, rng.choice(NUMBERS[table]), value)
    return f"{table}."


def huge_value(rng, folder):
    table = rng.choice([name for name in NUMBERS if name != "failures"])
    value = rng.choice(["1e308", "1e999", "9" * 400, "-1e300", "123456789012345678901234567890"])
    _set(folder / f"{table}.csv", rng, rng.choice(NUMBERS[table]), value)
    return f"{table}."


def impossible_date(rng, folder):
    table = rng.choice(list(DATES))
    day = rng.choice(
        ["2021-02-30", "2021-13-01", "0000-00-00", "31/12/2021", "9999-12-31", "1899-01-01"]
    )
    tail = " 10:00:00" if table == "encounters" else ""
    if table == "encounters":
        tail = rng.choice([tail, " 25:00:00", " 10:61:00"])
    _set(folder / f"{table}.csv", rng, DATES[table], day + tail)
    return DATES[table]


def unknown_country(rng, folder):
    table = rng.choice(["customers", "agents"])
    value = rng.choice(["Frankreich", "FR", "XYZ", "fra", "??", "Côte d’Ivoire", "000"])
    _set(folder / f"{table}.csv", rng, "country", value)
    return f"{table}.country"


def formula(rng, folder):
    table = rng.choice(list(TEXTS))
    value = rng.choice(
        ["=1+1", "=cmd|' /C calc'!A0", "@SUM(A1)", "+49 89", "-2+3", "=HYPERLINK(1)"]
    )
    _set(folder / f"{table}.csv", rng, rng.choice(TEXTS[table]), value)
    return "formula"


def empty_cell(rng, folder):
    table = rng.choice(list(NUMBERS))
    _set(
        folder / f"{table}.csv", rng, rng.choice(NUMBERS[table]), rng.choice(["", "   ", "\u00a0"])
    )
    return "is empty"


def duplicate_key(rng, folder):
    table = rng.choice(list(TEXTS))
    path = folder / f"{table}.csv"
    lines = _lines(path)
    lines += rng.sample(lines[1:], rng.choice([1, 2, 10]))
    _write(path, lines)
    return "must be unique"


def ragged_row(rng, folder):
    path = folder / f"{rng.choice(list(NUMBERS))}.csv"
    lines = _lines(path)
    for row in rng.sample(range(1, len(lines)), rng.choice([1, 2, 9])):
        lines[row] = rng.choice([lines[row] + ",extra", lines[row].rsplit(",", 1)[0]])
    _write(path, lines)
    return "columns"


def open_quote(rng, folder):
    path = folder / f"{rng.choice(list(NUMBERS))}.csv"
    lines = _lines(path)
    row = rng.randrange(1, len(lines))
    lines[row] = '"' + lines[row]
    _write(path, lines)
    return path.name


def wrong_encoding(rng, folder):
    path = folder / f"{rng.choice(list(TEXTS))}.csv"
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    lines[rng.randrange(1, len(lines))] = "Müller" + lines[-1]
    kind = rng.choice(["cp1252", "utf-16", "utf-16-le", "cp500"])
    path.write_bytes("\n".join(lines).encode(kind))
    return path.name


def wrong_delimiter(rng, folder):
    path = folder / f"{rng.choice(list(NUMBERS))}.csv"
    other = rng.choice([";", "\t", "|", "~"])
    path.write_text(path.read_text(encoding="utf-8").replace(",", other), encoding="utf-8")
    return path.name


def empty_file(rng, folder):
    path = folder / f"{rng.choice(list(NUMBERS))}.csv"
    path.write_text(rng.choice(["", "\n", "   \n\n", _lines(path)[0] + "\n"]), encoding="utf-8")
    return path.name


def absent_file(rng, folder):
    path = folder / f"{rng.choice(list(NUMBERS))}.csv"
    path.unlink()
    if rng.random() < 0.3:
        path.mkdir()
    return path.name


def other_header(rng, folder):
    path = folder / f"{rng.choice(list(TEXTS))}.csv"
    lines = _lines(path)
    names = lines[0].split(",")
    place = rng.randrange(len(names))
    names[place] = rng.choice([names[place - 1], names[place] + "s", "", names[place].upper()])
    _write(path, [",".join(names), *lines[1:]])
    return "column"


def binary(rng, folder):
    path = folder / f"{rng.choice(list(NUMBERS))}.csv"
    whole = path.read_bytes()
    spoiled = rng.choice(
        [
            rng.randbytes(2000),
            b"PK\x03\x04" + whole,
            gzip.compress(whole),
            whole[:90] + b"\0" + whole[90:],
        ]
    )
    path.write_bytes(spoiled)
    return path.name


def damaged_archive(rng, folder):
    name = rng.choice(list(NUMBERS))
    path, ending = (
        folder / f"{name}.csv",
        rng.choice([".gz", ".bz2", ".xz", ".zip", ".zst", ".parquet", ".xlsx"]),
    )
    packed = gzip.compress(path.read_bytes())
    spoiled = packed[: rng.randrange(1, len(packed))]
    target = folder / (
        f"{name}{ending}" if ending in (".parquet", ".xlsx") else f"{name}.csv{ending}"
    )
    target.write_bytes(spoiled)
    _configure(folder, lambda content: content["files"][name].update(path=str(target)))
    return target.name


def orphans(rng, folder):
    table, column = rng.choice(
        [("encounters", "customer_id"), ("encounters", "agent_id"), ("sales", "encounter_id")]
    )
    _set(folder / f"{table}.csv", rng, column, rng.choice(["Z99", "unknown", "0"]))
    return f"{table}.{column}"


def out_of_range(rng, folder):
    table, column, value = rng.choice(
        [
            ("failures", "severity", "8"),
            ("failures", "severity", "0"),
            ("encounters", "minutes", "-1"),
            ("encounters", "offer_made", "2"),
            ("encounters", "offer_made", "0.5"),
            ("customers", "warranty_years", "-3"),
            ("sales", "product_type", "gadget"),
            ("survey", "satisfaction", "11"),
            ("survey", "satisfaction", "7.5"),
        ]
    )
    _set(folder / f"{table}.csv", rng, column, value)
    return f"{table}.{column}"


def _configure(folder: Path, change: Callable[[dict], object]) -> None:
    path = folder / "firm.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


def configuration(rng, folder):
    change, words = rng.choice(
        [
            (lambda c: c.pop("tables"), "tables"),
            (lambda c: c.update(studies=["part3"]), "studies"),
            (lambda c: c["tables"].update(clients={"from": "customers"}), "clients"),
            (lambda c: c["tables"]["sales"].update({"from": "slaes"}), "sales"),
            (lambda c: c["tables"]["sales"]["columns"].pop("revenue"), "revenue"),
            (lambda c: c["tables"]["sales"]["columns"].update(colour="x"), "colour"),
            (lambda c: c["tables"]["encounters"]["columns"].pop("encounter_id"), "encounter_id"),
            (lambda c: c["files"]["sales"].update(delimiter=";;"), "delimiter"),
            (lambda c: c["files"]["sales"].update(encoding="klingon"), "klingon"),
            (lambda c: c.update(minimum_buyers=5), "minimum_buyers"),
            (lambda c: c.update(minimum_buyers=10**9), "buyers"),
            (
                lambda c: c["tables"]["encounters"]["columns"].update(
                    minutes={"column": "minutes", "unit": "fortnights"}
                ),
                "fortnights",
            ),
            (lambda c: c["files"]["sales"].update(path="sales.docx"), "sales.docx"),
            (lambda c: c["files"].update(sales={"query": "select from nothing at all"}), "query"),
            (
                lambda c: c["files"].update(
                    sales={"query": "select 1", "address": "sqlite:////nowhere/x.db"}
                ),
                "database",
            ),
        ]
    )
    _configure(folder, change)
    return words


def not_yaml(rng, folder):
    text = rng.choice(["name: [", "", "- a\n- b\n", "name: x\n\tfiles: y\n", "\0", "%!"])
    (folder / "firm.yaml").write_text(text, encoding="utf-8")
    return "firm.yaml"


def one_answer(rng, folder):
    """Data without variation: every offer refused, one model, one severity."""
    table, column, value = rng.choice(
        [
            ("customers", "warranty_years", "2"),
            ("failures", "severity", "4"),
            ("encounters", "offer_made", "0"),
            ("agents", "rank", "7"),
            ("encounters", "minutes", "12"),
        ]
    )
    path = folder / f"{table}.csv"
    lines = _lines(path)
    place = lines[0].split(",").index(column)
    changed = [line.split(",") for line in lines[1:]]
    for cells in changed:
        cells[place] = value
    _write(path, [lines[0], *(",".join(cells) for cells in changed)])
    return "part"


CORRUPTIONS: list[Corruption] = [
    wrong_type,
    huge_value,
    impossible_date,
    unknown_country,
    formula,
    empty_cell,
    duplicate_key,
    ragged_row,
    open_quote,
    wrong_encoding,
    wrong_delimiter,
    empty_file,
    absent_file,
    other_header,
    binary,
    damaged_archive,
    orphans,
    out_of_range,
    configuration,
    not_yaml,
    one_answer,
]


@pytest.fixture(scope="module")
def command():
    spec = importlib.util.spec_from_file_location(
        "validate_firm", ROOT / "scripts/validate_firm.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    firm_exports.write(folder, firm_exports.tables())
    return folder


def test_the_sound_exports_pass(sound, command, capsys):
    assert command([str(sound / "firm.yaml")]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("case", range(CASES))
def test_malformed(case, sound, command, tmp_path, capsys):
    folder = tmp_path / "exports"
    shutil.copytree(sound, folder)
    _configure(folder, lambda content: _move(content, sound, folder))
    rng = random.Random(case)
    corruption = CORRUPTIONS[case % len(CORRUPTIONS)]
    words = corruption(rng, folder)
    before = sorted(folder.rglob("*"))
    status = command([str(folder / "firm.yaml")])
    told = capsys.readouterr()
    assert status == 1, f"{corruption.__name__} passed: {told.out}"
    assert words in told.err, told.err
    assert "Traceback" not in told.err
    assert len(told.err) < 12_000
    assert sorted(folder.rglob("*")) == before


def _move(content: dict, old: Path, new: Path) -> None:
    for file in content["files"].values():
        file["path"] = file["path"].replace(str(old), str(new))
