"""Another paper passes through the audit and the scoreboard with YAML only."""

from pathlib import Path

import pytest

from crosssell.audit import audit, certificates
from crosssell.fidelity import fidelity, summary, terminal
from crosssell.scoreboard import LETTERS, picture
from synthetic.published import by_id, load, relations, tables

FOLDER = Path(__file__).parent / "second_paper"


@pytest.fixture(scope="module")
def findings():
    return audit(load(FOLDER), relations(FOLDER)).set_index("id")


def test_planted_errors_are_found_and_nothing_else(findings):
    assert findings["verdict"].to_dict() == {
        "grim.satisfaction": "impossible",
        "grim.calls": "consistent",
        "spread.satisfaction": "impossible",
        "binary.female": "consistent",
        "stars.female": "consistent",
        "stars.income": "inconsistent",
        "women": "inconsistent",
        "participants": "consistent",
    }
    assert "3.480000" in findings.at["grim.satisfaction", "implied"]


def test_scoreboard_runs(findings):
    numbers = load(FOLDER)
    certified = certificates(findings.reset_index())
    reproduced = {name: number.value for name, number in by_id(FOLDER).items()}
    reproduced |= {"t1.mean.satisfaction": 3.48, "t1.sd.satisfaction": 1.9, "abstract.women": 48.0}
    scores = fidelity(numbers, reproduced, certified)
    cannot = scores.loc[scores["verdict"] == "cannot hold", "id"]
    assert set(cannot) == {"t1.mean.satisfaction", "t1.sd.satisfaction", "abstract.women"}
    assert summary(scores).iloc[-1]["all"] == len(numbers)
    assert "Table 1" in terminal(scores, findings.reset_index())
    figure = picture(numbers, tables(FOLDER), scores)
    letters = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert sum(letters.count(letter) for letter in LETTERS.values()) == len(numbers)
