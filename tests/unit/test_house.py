"""Promises that the files of the house make to one another."""

import ast
import tomllib

import pytest
import yaml

from crosssell import documentation, environment, settings
from crosssell.errors import SpecificationError


def imports_of(path):
    """Modules that a Python file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{name.name}" for name in node.names)


def test_estimators_never_read_the_published_numbers(root):
    may = {"audit", "fidelity", "verdicts"}
    for path in (root / "scripts/crosssell").rglob("*.py"):
        inside = path.relative_to(root / "scripts/crosssell").parts
        if inside[0].removesuffix(".py") not in may:
            reached = [name for name in imports_of(path) if name.startswith("synthetic")]
            assert reached == [], path
            assert "published/" not in path.read_text(), path


def test_environment_follows_pyproject(root):
    text = (root / "environment.yml").read_text()
    assert text == environment.conda(root / "pyproject.toml")
    dependencies = yaml.safe_load(text)["dependencies"]
    pip = next(item["pip"] for item in dependencies if isinstance(item, dict))
    locked = (root / "requirements.lock").read_text()
    for spec in [*(item for item in dependencies if isinstance(item, str)), *pip]:
        name = spec.split(">")[0]
        assert name in {"python", "pip"} or f"\n{name}==" in "\n" + locked, name


def test_lock_has_hashes_and_no_addresses(root):
    lock = (root / "requirements.lock").read_text()
    assert "://" not in lock
    assert "://" not in (root / "environment.yml").read_text()
    for block in lock.split("\n\n")[0].split("\n"):
        assert "==" in block or "--hash=sha256:" in block or not block.strip()


def test_every_package_folder_is_declared(root):
    tool = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]
    homes = {"crosssell": root / "scripts", "synthetic": root}
    found = {
        ".".join(path.parent.relative_to(home).parts)
        for package, home in homes.items()
        for path in (home / package).rglob("__init__.py")
    }
    assert found == set(tool["packages"])


def test_configuration_names_every_mistake_at_once(root):
    config = {"seed": -1, "results": 3, "studies": [], "sinthetic": {}}
    with pytest.raises(SpecificationError) as caught:
        settings.check(config, root / "workflow/schemas/config.yaml")
    message = str(caught.value)
    assert "seed: is -1 but must be at least 0." in message
    assert "results: is 3 but must be of type string." in message
    assert "studies: is [] but must have at least 1 entry." in message
    assert "sinthetic: unknown key; did you mean synthetic?" in message
    assert "resampling: missing." in message


@pytest.mark.parametrize("name", ["config", "quick"])
def test_shipped_configurations_are_valid(root, name):
    base = yaml.safe_load((root / "config/config.yaml").read_text())
    config = base | yaml.safe_load((root / f"config/{name}.yaml").read_text())
    settings.check(config, root / "workflow/schemas/config.yaml")


def test_every_key_of_the_configuration_is_described(root):
    def described(schema, path=""):
        for key, value in schema.get("properties", {}).items():
            assert value.get("description"), f"{path}{key}"
            described(value, f"{path}{key}.")

    described(yaml.safe_load((root / "workflow/schemas/config.yaml").read_text()))


def test_generated_documentation_is_current(root):
    for path, text in documentation.write(root).items():
        assert path.read_text() == text, f"{path.name}: run `make docs`"


def test_cluster_profile_names_rules_that_exist(root):
    profile = yaml.safe_load((root / "profiles/slurm/config.yaml").read_text())
    rules = "".join(path.read_text() for path in (root / "workflow/rules").glob("*.smk"))
    assert profile["set-resources"]
    for name in profile["set-resources"]:
        assert f"rule {name}:" in rules, name
