"""One module per outside thing: a chain, a hub, a sandbox, a database."""
