"""Label-free checks, a module each: a new check is one new file here."""
