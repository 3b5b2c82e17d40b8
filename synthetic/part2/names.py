"""Names and ranges of Essay II's variables, shared by every room of `synthetic.part2`."""

ABILITY, SEVERITY, RISK = "agent_resolution_ability", "failure_severity", "risk_aversion"
DURATION, VALUE = "duration", "product_value"
DISTANCE, PURCHASE = "cultural_distance", "purchase"
COLUMNS = (ABILITY, SEVERITY, RISK, DURATION, VALUE)
TERMS = (
    ABILITY,
    SEVERITY,
    RISK,
    DISTANCE,
    f"{ABILITY}:{DISTANCE}",
    f"{SEVERITY}:{DISTANCE}",
    f"{RISK}:{DISTANCE}",
    VALUE,
    DURATION,
    "intercept",
)
TABLE_ORDER = (PURCHASE, ABILITY, SEVERITY, RISK, DISTANCE, DURATION, VALUE)
RANGES = {ABILITY: (30, 752), SEVERITY: (1, 7), RISK: (0, 5), DURATION: (1, 96), VALUE: (1, 4)}
TABLE8 = ("hypothesized", "excluded_country")  # columns with coefficients
