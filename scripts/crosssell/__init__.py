"""Everything that reads data: measures, estimators, tests, tables, figures, audit."""
