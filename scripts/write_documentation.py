"""Write the generated parts of the documentation (run by `make docs`)."""

from pathlib import Path

from crosssell import documentation

for path, text in documentation.write(Path(__file__).parents[1]).items():
    path.write_text(text, encoding="utf-8")
