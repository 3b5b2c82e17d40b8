"""Another firm's data: from its exports to the raw tables that every analysis starts from.

A declarative configuration (``workflow/schemas/firm.yaml``) says where each column of the raw
tables (``workflow/schemas/raw.yaml``) comes from. The rooms: `configuration`, `sources` (reading),
`mapping` (their values to ours), `relations` (keys and joins), `soundness` (what the models need),
`problems` (telling everything that is wrong at once), `importing` (all of it in order),
`confidentiality`, `studies` (measures from incomplete data) and `shrinking` (models and tables
without what the firm lacks).
"""
