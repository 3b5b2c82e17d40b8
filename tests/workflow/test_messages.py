"""A user's mistakes end in one clear message and no traceback."""

import pytest

from .conftest import snakemake


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("sead=3", "did you mean seed?"),
        ("seed=many", "seed: is 'many' but must be of type integer"),
        ("studies=[part3]", "studies.0: is 'part3' but must be one of"),
    ],
)
def test_configuration_mistakes_name_the_key(checkout, override, named):
    done = snakemake(checkout, "-n", "--config", override, check=False)
    assert done.returncode != 0
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert not (checkout / "results" / "data").exists()


def test_a_missing_file_is_named_with_its_key(checkout):
    done = snakemake(checkout, "-n", "--config", "firm=config/none.yaml", check=False)
    assert done.returncode != 0
    assert "config/none.yaml" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
