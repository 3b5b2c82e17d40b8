"""Everything that makes data: constraints, population, sample, raw sources."""
